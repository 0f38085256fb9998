//! Other servers' keys, passed on with our signature (server-server API, "Querying Keys Through Another Server").

use playhouse_actors::{house::House, network::KeysWanted};
use ruma::CanonicalJsonObject;

use super::own_keys::{own_keys_json, sign_as_notary};

/// What servers publish of their keys, signed by themselves and by us: asked for now if what is known does not answer the question. A server of which no
/// key is named is asked when none of its keys is valid now. What cannot be found is missing.
pub(crate) async fn vouched_keys(house: &House, wanted: KeysWanted) -> Vec<CanonicalJsonObject> {
    let names: Vec<_> = wanted.keys().cloned().collect();
    let env = house.env();
    // What is learnt is remembered before this answers.
    env.network.keys(wanted).await;
    let mut vouched = Vec::new();
    for name in names {
        if house.is_local(&name) {
            vouched.push(own_keys_json(env));
            continue;
        }
        let Ok(known) = house.peer_keys(&name).await else {
            continue;
        };
        if let Ok(mut published) = serde_json::from_str(&known.published) {
            sign_as_notary(env, &mut published);
            vouched.push(published);
        }
    }
    vouched
}
