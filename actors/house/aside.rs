//! Work that takes long, and for which nobody waits from one second to the next.

use std::thread;

use tokio::sync::oneshot;

/// How much less of the processors such work gets than all else, if they are short: about a tenth.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Does something on a thread of its own, to which all others of this process are preferred where the system has priorities for threads (Linux). `None` if it
/// could not be done: there is no thread for it, or it panicked.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (told, outcome) = oneshot::channel();
    let begun = thread::Builder::new()
        .name("aside".to_owned())
        .spawn(move || {
            stand_back();
            // Nobody listens any more: it was for nothing.
            let _ = told.send(work());
        });
    if let Err(error) = begun {
        tracing::warn!(%error, "there is no thread for what is to be done aside");
        return None;
    }
    outcome.await.ok()
}

/// Elsewhere than on Linux the priority is the whole process's.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the priority stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::aside;

    #[tokio::test]
    async fn what_is_done_aside_is_told() {
        assert_eq!(aside(|| 1 + 1).await, Some(2));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn all_others_go_first() {
        let nice = |thread| rustix::process::getpriority_process(thread).expect("it is told");
        let before = nice(None);
        let meanwhile = aside(move || nice(None)).await;
        assert!(meanwhile > Some(before) || before == 19);
        assert_eq!(nice(None), before, "no other thread is concerned");
    }

    #[tokio::test]
    async fn what_fails_aside_is_told_too() {
        assert_eq!(aside(|| -> u8 { panic!("on purpose") }).await, None);
    }
}
