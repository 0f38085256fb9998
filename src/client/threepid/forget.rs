//! Lets identity servers forget whose an address is.

use playhouse_actors::threepid::Address;
use playhouse_schema::record::threepid::Binding;
use ruma::{UserId, api::client::account::ThirdPartyIdRemovalStatus};

use crate::edge::{App, Failure};

/// The identity servers that know of an address: the one that the client names, or those that are remembered.
pub(crate) async fn bindings(
    app: &App,
    user_id: &UserId,
    address: &Address,
    named: Option<String>,
) -> Result<Vec<Binding>, Failure> {
    let medium = address.medium.as_str();
    if let Some(id_server) = named {
        return Ok(vec![Binding {
            user_id: user_id.to_string(),
            id_server,
            medium: medium.to_owned(),
            address: address.address.clone(),
        }]);
    }
    let mut known = app.house.threepid_bindings(user_id).await?;
    known.retain(|binding| binding.medium == medium && binding.address == address.address);
    Ok(known)
}

/// Asks them to forget; whether all did, or `None` when there was nobody to ask. One that cannot be reached does not keep the others from it.
pub(crate) async fn unbind(
    app: &App,
    user_id: &UserId,
    bindings: Vec<Binding>,
) -> Result<Option<bool>, Failure> {
    let mut all = None;
    for binding in bindings {
        let Some(address) = Address::new(&binding.medium, &binding.address) else {
            continue;
        };
        let asked =
            app.third_party
                .identity
                .unbind(app.env(), &binding.id_server, (&address, user_id));
        let forgotten = match asked.await {
            Ok(forgotten) => forgotten,
            Err(failure) => {
                let reason = failure.message();
                tracing::info!(
                    server = binding.id_server,
                    reason,
                    "identity server keeps an address"
                );
                false
            }
        };
        if forgotten {
            app.house.note_binding(binding, false).await?;
        }
        all = Some(all.unwrap_or(true) && forgotten);
    }
    Ok(all)
}

/// What clients are told of it; with nobody to ask, `otherwise` says whether that is as good as done.
pub(crate) fn status(forgotten: Option<bool>, otherwise: bool) -> ThirdPartyIdRemovalStatus {
    if forgotten.unwrap_or(otherwise) {
        ThirdPartyIdRemovalStatus::Success
    } else {
        ThirdPartyIdRemovalStatus::NoSupport
    }
}
