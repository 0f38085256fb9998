//! The store and the actors over it.

use std::{sync::Arc, time::Duration};

use playhouse_actors::house::House;
use playhouse_schema::port::{LogStore, StoreError};

use super::StartError;
use crate::config::Config;

pub(crate) async fn open_house(_config: &Config) -> Result<Arc<House>, StartError> {
    Err(StoreError::Incompatible("later".into()).into())
}
pub(crate) async fn open_store(_config: &Config) -> Result<Arc<dyn LogStore>, StartError> {
    Err(StoreError::Incompatible("later".into()).into())
}
pub(super) fn end_waiting(_house: &House) {}
pub(crate) async fn close(_house: &House, _within: Duration) {}
