//! Previews of links: what a page says of itself, and its picture, as one JSON object.
//!
//! Everything here reads what strangers wrote. So it runs apart: one desk takes the questions, remembers answers, and lets a bounded number of workers run, each
//! bounded in time and memory; one that fails takes nothing else with it. Must not know endpoints.

mod charset;
mod desk;
mod oembed;
mod page;
mod picture;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::house::House;
use ruma::OwnedUserId;
use tokio::sync::{mpsc, oneshot};

use self::{
    desk::{Ask, Desk},
    work::Worker,
};
use super::Blobs;
use crate::{
    config::Config,
    outbound::{
        AddressRules, Outbound, OutboundError, Ports, Rules, SystemLookup, Trust, UrlPattern,
    },
};

/// So many questions wait for the desk.
const QUESTIONS_MAX: usize = 256;

/// How this server calls itself, with the word by which pages know who asks for a preview.
const USER_AGENT: &str = concat!(
    "Playhouse/",
    env!("CARGO_PKG_VERSION"),
    " (bot; Matrix URL preview)"
);

/// Why there is no preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PreviewError {
    /// What the outbound client says.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It says that it is a picture, and is none, or one that is too large.
    #[error("the picture cannot be used: {0}")]
    Picture(&'static str),
    /// Too many previews are being made.
    #[error("too many previews are being made")]
    Busy,
    /// Trouble of our own.
    #[error("the preview could not be made")]
    Broken,
}

/// Makes previews.
pub(crate) struct Previews {
    outbound: Arc<Outbound>,
    desk: mpsc::Sender<Ask>,
}

impl Previews {
    /// Starts the desk, when previews are switched on.
    pub(crate) fn start(
        config: &Config,
        house: &Arc<House>,
        blobs: &Blobs,
        trust: &Arc<Trust>,
    ) -> Option<Self> {
        if !config.previews.enabled {
            return None;
        }
        let outbound = Outbound::new(trust, rules(config), Arc::new(SystemLookup), USER_AGENT);
        let outbound = Arc::new(outbound);
        let worker = Worker {
            outbound: outbound.clone(),
            blobs: blobs.clone(),
            house: house.clone(),
            settings: config.previews.clone(),
            pixels_max: config.media.thumbnail_pixels_max,
        };
        let (desk, questions) = mpsc::channel(QUESTIONS_MAX);
        tokio::spawn(Desk::new(worker).run(questions));
        Some(Self { outbound, desk })
    }

    /// What a link leads to: a JSON object.
    pub(crate) async fn preview(
        &self,
        user_id: OwnedUserId,
        url: &str,
    ) -> Result<Bytes, PreviewError> {
        let url = self.outbound.url(url)?;
        let (port, answer) = oneshot::channel();
        let ask = Ask { user_id, url, port };
        self.desk.try_send(ask).map_err(|_| PreviewError::Busy)?;
        answer.await.unwrap_or(Err(PreviewError::Broken))
    }
}

fn rules(config: &Config) -> Rules {
    let outbound = &config.outbound;
    Rules {
        addresses: AddressRules::new(&outbound.allow_networks, &outbound.deny_networks),
        ports: outbound
            .ports
            .iter()
            .filter_map(|ports| Ports::parse(ports))
            .collect(),
        deny_urls: config
            .previews
            .deny_urls
            .iter()
            .filter_map(|pattern| UrlPattern::parse(pattern))
            .collect(),
    }
}
