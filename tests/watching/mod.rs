//! What operators watch a server by: each alert is caused, spans come to a collector, the canary sings.
//!
//! Alerts whose causes need more of a stage are caused beside that: `federation::hostile::resets`, `push::backlog`, `cluster::ownerless`.

mod alerts;
mod canary;
mod database;
mod figures;
mod rules;
mod spans;
