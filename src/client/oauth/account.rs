//! The account's pages (client-server API, "Account management URL actions").

use std::sync::Arc;

use playhouse_actors::user::{UserAnswer, UserCommand, UserQuery, message::Device};
use ruma::OwnedDeviceId;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::{
    ACCOUNT, SIGN_OUT,
    browser::{self, Known},
    offered,
};
use crate::{
    client::{
        push::unsubscribe,
        session::password::{has_password, is_password},
    },
    edge::{App, Browser, Class, Failure, Prepared},
    pages::{Block, Button, Field, Form, Language, Page, Tone},
};

/// Replacing the cross-signing keys stays allowed for so long.
const RESET_LIFETIME_MS: u64 = 10 * 60 * 1000;

/// What a page is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Profile,
    Devices,
    Device(OwnedDeviceId),
    EndDevice(OwnedDeviceId),
    Deactivate,
    ResetKeys,
}

impl Action {
    fn read(browser: &Browser) -> Self {
        let device = browser.query.get("device_id").filter(|id| !id.is_empty());
        let device = device.map(OwnedDeviceId::from);
        let action = browser.query.get("action").unwrap_or_default();
        match (action.strip_prefix("org.matrix.").unwrap_or(action), device) {
            ("device_view" | "session_view", Some(device)) => Self::Device(device),
            ("device_delete" | "session_end", Some(device)) => Self::EndDevice(device),
            ("devices_list" | "sessions_list" | "device_view" | "session_view", _) => Self::Devices,
            ("device_delete" | "session_end", None) => Self::Devices,
            ("account_deactivate", _) => Self::Deactivate,
            ("cross_signing_reset", _) => Self::ResetKeys,
            _ => Self::Profile,
        }
    }

    fn path(&self) -> String {
        let (name, device) = match self {
            Self::Profile => ("profile", None),
            Self::Devices => ("devices_list", None),
            Self::Device(device) => ("device_view", Some(device)),
            Self::EndDevice(device) => ("device_delete", Some(device)),
            Self::Deactivate => ("account_deactivate", None),
            Self::ResetKeys => ("cross_signing_reset", None),
        };
        let device = device.map_or_else(String::new, |device| {
            let encoded: String = byte_serialize(device.as_str().as_bytes()).collect();
            format!("&device_id={encoded}")
        });
        format!("{ACCOUNT}?action=org.matrix.{name}{device}")
    }
}

/// Shows a page; asks to sign in first.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let action = Action::read(&browser);
    match browser::known(&app, &browser).await? {
        Some(known) => show(&app, &browser, (&known, &action), None).await,
        None => browser::sign_in(&app, &browser, &action.path(), None),
    }
}

/// Does what the page is for.
pub(super) async fn act(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let known = browser::must_be_known(&app, &browser).await?;
    let action = Action::read(&browser);
    app.pages
        .check_seal(&browser, "oauth-account", &binding(&known, &action))?;
    let language = browser.language;
    let user_id = &known.user_id;
    match &action {
        Action::Profile => {
            let name = browser.form.get("displayname").unwrap_or_default().trim();
            let value = (!name.is_empty()).then(|| Value::from(name).to_string());
            app.house
                .set_profile_field(user_id, "displayname", value)
                .await?;
        }
        Action::EndDevice(device_id) | Action::Device(device_id) => {
            let command = UserCommand::RemoveDevices {
                device_ids: vec![device_id.clone()],
            };
            app.house.user_command(user_id, command).await?;
            return browser::lead_to(&Action::Devices.path());
        }
        Action::Deactivate => return deactivate(&app, &browser, &known).await,
        Action::ResetKeys => {
            app.house
                .allow_cross_signing_reset(user_id, RESET_LIFETIME_MS)
                .await?;
            let page = Page::new(language, language.say("oauth.reset_title")).with(Block::notice(
                Tone::Success,
                language.say("oauth.reset_allowed"),
            ));
            return Ok(app.pages.show(page));
        }
        Action::Devices => return browser::lead_to(&action.path()),
    }
    let done = Block::notice(Tone::Success, language.say("oauth.saved"));
    show(&app, &browser, (&known, &action), Some(done)).await
}

/// Closes the account. Who has a password must give it once more: the browser may be somebody else's by now.
async fn deactivate(app: &Arc<App>, browser: &Browser, known: &Known) -> Result<Prepared, Failure> {
    let language = browser.language;
    let account = app.house.account(&known.user_id).await?;
    if has_password(app, &account) {
        app.limiter
            .take_for(Class::Login, known.user_id.as_str())
            .await?;
        let password = browser.form.get("password").unwrap_or_default().to_owned();
        if !is_password(app, &known.user_id, password).await? {
            let wrong = Block::notice(Tone::Error, language.say("oauth.wrong_password"));
            return show(app, browser, (known, &Action::Deactivate), Some(wrong)).await;
        }
    }
    let erase = browser.form.get("erase").is_some();
    app.house.deactivate(&known.user_id, erase).await?;
    let page = Page::new(language, language.say("oauth.deactivate_title")).with(Block::notice(
        Tone::Success,
        language.say("oauth.deactivated"),
    ));
    Ok(app.pages.show(page))
}

fn binding(known: &Known, action: &Action) -> String {
    format!("{} {}", known.cookie, action.path())
}

fn device_facts(language: Language, device: Device) -> Block {
    let rows = [
        ("oauth.name", device.display_name.unwrap_or_default()),
        ("oauth.device", device.device_id.to_string()),
        (
            "oauth.last_address",
            device.last_seen_address.unwrap_or_default(),
        ),
    ];
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    Block::facts(told.map(|(key, value)| (language.say(key).to_owned(), value)))
}

async fn show(
    app: &Arc<App>,
    browser: &Browser,
    (known, action): (&Known, &Action),
    notice: Option<Block>,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let form = Form::to(action.path()).sealed(&app.pages, "oauth-account", &binding(known, action));
    let say = |key| language.say(key);
    let page = |title| {
        let page = Page::new(language, language.say(title));
        match notice.clone() {
            Some(notice) => page.with(notice),
            None => page,
        }
    };
    let page = match action {
        Action::Profile => {
            profile(app, known, (page("oauth.account_title"), form), language).await?
        }
        Action::Devices => {
            let devices = devices(app, known, None).await?;
            let links = devices.into_iter().map(|device| {
                let name = device.display_name.clone();
                let name = name.unwrap_or_else(|| device.device_id.to_string());
                (name, Action::Device(device.device_id).path())
            });
            page("oauth.devices_title").with(Block::links(links))
        }
        Action::Device(device_id) | Action::EndDevice(device_id) => {
            let mut found = devices(app, known, Some(device_id)).await?;
            let device = found
                .pop()
                .ok_or_else(|| Failure::not_found("unknown device"))?;
            page("oauth.device_title")
                .with(device_facts(language, device))
                .with(form.submit(say("oauth.end_device")))
        }
        Action::Deactivate => {
            let mut form = form;
            let account = app.house.account(&known.user_id).await?;
            if has_password(app, &account) {
                let account = Field::new("fixed", "account", say("oauth.account"));
                let account = account.value(known.user_id.as_str());
                let password = Field::new("password", "password", say("oauth.password"));
                form = form.field(account.autocomplete("username"));
                form = form.field(password.autocomplete("current-password").required());
            }
            form = form.field(Field::new("checkbox", "erase", say("oauth.erase")));
            page("oauth.deactivate_title")
                .with(Block::notice(Tone::Info, say("oauth.deactivate_text")))
                .with(form.submit(say("oauth.deactivate")))
        }
        Action::ResetKeys => page("oauth.reset_title")
            .with(Block::notice(Tone::Info, say("oauth.reset_text")))
            .with(form.submit(say("oauth.reset"))),
    };
    let sign_out = Form::to(SIGN_OUT)
        .hidden("next", ACCOUNT)
        .sealed(&app.pages, "oauth-sign-out", &known.cookie)
        .button(Button::new(say("oauth.sign_out")).secondary());
    let links = [
        ("oauth.account_title", Action::Profile),
        ("oauth.devices_title", Action::Devices),
        ("oauth.reset_title", Action::ResetKeys),
        ("oauth.deactivate_title", Action::Deactivate),
    ];
    let links = links.map(|(text, action)| (say(text).to_owned(), action.path()));
    Ok(app.pages.show(page.with(Block::menu(links)).with(sign_out)))
}

async fn profile(
    app: &Arc<App>,
    known: &Known,
    (page, form): (Page, Form),
    language: Language,
) -> Result<Page, Failure> {
    let profile = app.house.profile(&known.user_id).await?;
    let name = profile.iter().find(|(name, _)| name == "displayname");
    let name: Option<String> = name.and_then(|(_, json)| serde_json::from_str(json).ok());
    let field = Field::new("text", "displayname", language.say("oauth.name"));
    let account = language.say("oauth.account").to_owned();
    let page = page
        .with(Block::facts([(account, known.user_id.to_string())]))
        .with(
            form.field(field.value(name.unwrap_or_default()))
                .submit(language.say("oauth.save")),
        );
    let mails = mails(app, known, language).await?;
    Ok(if mails.is_empty() {
        page
    } else {
        page.with(Block::links(mails))
    })
}

/// Links that end the mails of which the account's messages are told.
async fn mails(
    app: &Arc<App>,
    known: &Known,
    language: Language,
) -> Result<Vec<(String, String)>, Failure> {
    let user_id = &known.user_id;
    let UserAnswer::Pushers(pushers) = app.house.user_query(user_id, UserQuery::Pushers).await?
    else {
        return Err(Failure::internal("unexpected answer to Pushers"));
    };
    let pushers = pushers.iter();
    let pushers = pushers.filter_map(|json| serde_json::from_str::<Value>(json).ok());
    let mails = pushers.filter(|pusher| pusher["kind"] == "email");
    Ok(mails
        .filter_map(|pusher| {
            let (app_id, address) = (pusher["app_id"].as_str()?, pusher["pushkey"].as_str()?);
            let label = language.tell("oauth.no_mails", &[("address", address)]);
            Some((label, unsubscribe::path(app, user_id, app_id, address)))
        })
        .collect())
}

async fn devices(
    app: &Arc<App>,
    known: &Known,
    device_id: Option<&OwnedDeviceId>,
) -> Result<Vec<Device>, Failure> {
    let query = UserQuery::Devices {
        device_id: device_id.cloned(),
    };
    match app.house.user_query(&known.user_id, query).await? {
        UserAnswer::Devices(devices) => Ok(devices),
        _ => Err(Failure::internal("unexpected answer to Devices")),
    }
}
