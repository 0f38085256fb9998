//! How clients find the server.

use crate::harness::{Options, TestServer, only_alone};

const PATH: &str = "/.well-known/matrix/client";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_one_machine_tells_its_listener() {
    if only_alone("a node tells where it listens itself") {
        return;
    }
    let name = ("PLAYHOUSE_SERVER_NAME".to_owned(), "localhost".to_owned());
    let server = TestServer::start_with(Options {
        environment: vec![name],
        ..Options::default()
    })
    .await;
    let told = server.client().get(PATH).await.ok();
    assert_eq!(told["m.homeserver"]["base_url"], server.base());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_tells_nothing_until_it_is_told_what() {
    let server = TestServer::start().await;
    let answer = server.client().get(PATH).await;
    answer.refused(404, "M_NOT_FOUND");
}
