//! The description of the admin API.

use serde_json::Value;

use super::administrator;
use crate::client::stage::on_own_servers;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_described() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let path = "/_playhouse/admin/v1/openapi.json";
        let told = boss.get(path).await.ok();
        assert!(
            told["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3."))
        );
        let paths = told["paths"].as_object().expect("paths");
        assert!(paths.contains_key(path), "{told}");
        // What only looks and names nothing can be called as it is described.
        let plain = paths.iter().filter(|(path, item)| {
            !path.contains('{') && !path.ends_with("/cluster") && !item["get"].is_null()
        });
        for (path, item) in plain {
            let answer = boss.get(path).await.ok();
            let fields = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                ["properties"];
            for name in fields
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
            {
                let is_optional = name == "next";
                assert!(is_optional || answer.get(name).is_some(), "{path}: {name}");
            }
        }
        let anna = server.register("anna").await;
        assert_eq!(anna.get(path).await.status, 403);
        assert_ne!(told["components"]["securitySchemes"]["token"], Value::Null);
    })
    .await;
}
