//! How work that takes long lets others have their turn.

/// Lets others go on: threads that wait for this processor, which the system makes wait for milliseconds otherwise, and then the other tasks of this thread.
pub async fn give_way() {
    std::thread::yield_now();
    tokio::task::yield_now().await;
}
