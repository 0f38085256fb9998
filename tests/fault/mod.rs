//! What must hold although processes die, bytes rot and clients lie.

mod acked;
mod backup;
mod database_tls;
mod delayed;
mod fuzz;
mod hostile;
mod log;
mod migrate;
mod peers;
mod purge;
mod repeats;
