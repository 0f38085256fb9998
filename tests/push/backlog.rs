//! An operator is told when notifications wait too long.

use super::{
    gateway::{TestGateway, apns_app, message},
    provider::{Provider, Said},
};
use crate::harness::prometheus::Prometheus;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_an_alert() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, "")];
    let gateway = TestGateway::start(&provider, &apps, "answer_within_ms = 1");
    let prometheus = Prometheus::watching(&[gateway.client().base()]).await;
    gateway.notify(message("$one", "AAAA")).await;
    provider.wait_for(1).await;
    prometheus.is_quiet().await;
    let reason = serde_json::json!({ "reason": "ServiceUnavailable" });
    provider.will_say(Said::new(503, reason).with("retry-after", "600"));
    gateway.notify(message("$two", "AAAA")).await;
    let name = "PlayhousePushBacklog";
    prometheus.only_fires(name, async || {}).await;
}
