//! A room list as Element X shows it: matrix-sdk's `RoomListService` over simplified sliding sync.
//!
//! `room-list URL USER PASSWORD` logs in and writes a line of JSON whenever the list changes: an array of `[room ID, notifications, highlights]`, first room
//! first. It goes on through restarts of the server until its standard output is closed.

use std::{error::Error, pin::pin, time::Duration};

use eyeball_im::Vector;
use futures_util::StreamExt as _;
use matrix_sdk::Client;
use matrix_sdk_ui::{
    RoomListService,
    room_list_service::{RoomListItem, filters::new_filter_non_left},
};
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

/// More rooms than any test has.
const PAGE: usize = 1_000;

/// Counts may change without the list.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A server that has gone is asked again after this time.
const TRY_AGAIN: Duration = Duration::from_millis(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("URL USER PASSWORD");
    let (url, user, password) = (argument()?, argument()?, argument()?);
    let client = Client::builder().homeserver_url(url).build().await?;
    let login = client.matrix_auth().login_username(user, &password);
    login.initial_device_display_name("room list").await?;
    let service = RoomListService::new(client).await?;
    let rooms = service.all_rooms().await?;
    let (entries, controller) = rooms.entries_with_dynamic_adapters(PAGE);
    controller.set_filter(Box::new(new_filter_non_left()));
    let following = async {
        loop {
            let mut sync = pin!(service.sync());
            while let Some(Ok(())) = sync.next().await {}
            sleep(TRY_AGAIN).await;
        }
    };
    let showing = async {
        let mut entries = pin!(entries);
        let mut list = Vector::new();
        let mut shown = Value::Null;
        let mut ticks = interval(LOOK_AGAIN);
        loop {
            tokio::select! {
                Some(changes) = entries.next() => {
                    for change in changes {
                        change.apply(&mut list);
                    }
                }
                _ = ticks.tick() => {
                    let now = look(&list);
                    if now != shown {
                        println!("{now}");
                        shown = now;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = following => Ok(()),
        () = showing => Ok(()),
    }
}

fn look(list: &Vector<RoomListItem>) -> Value {
    let rooms = list.iter().map(|room| {
        let counts = room.unread_notification_counts();
        json!([room.room_id(), counts.notification_count, counts.highlight_count])
    });
    rooms.collect()
}
