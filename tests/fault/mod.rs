//! What must hold although processes die and bytes rot.

mod acked;
