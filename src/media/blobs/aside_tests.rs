//! The orders in which steps of uploads and removals can come on nodes that know nothing of each other: their locks have been forgotten.

use std::collections::BTreeSet;

use super::*;

const CONTENT: &[u8] = b"the same content";

/// Which pieces of media name the content: the log.
type Names = BTreeSet<&'static str>;

fn node(folder: &Path, name: &str) -> Blobs {
    let name = NodeName::parse(name).unwrap();
    Blobs::open_among(&Media::default(), folder.to_owned(), &name).unwrap()
}

async fn store(blobs: &Blobs) -> StoredBlob {
    let mut upload = blobs.begin(Shelf::Uploads);
    upload.write(Bytes::from_static(CONTENT)).await.unwrap();
    upload.finish().await.unwrap()
}

async fn is_there(blobs: &Blobs, name: &str) -> bool {
    match blobs.read(name, None).await {
        Ok(pieces) => {
            let pieces: Vec<_> = pieces.try_collect().await.unwrap();
            assert_eq!(pieces.concat(), CONTENT);
            true
        }
        Err(BlobError::Missing) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Who does something with the content, step by step.
struct Worker {
    blobs: Blobs,
    content: String,
    piece: &'static str,
    work: Work,
    steps: usize,
}

enum Work {
    /// As `create_content.rs` does.
    Upload(Option<StoredBlob>),
    /// As `removal.rs` does.
    Removal {
        aside: Option<Aside>,
        is_named: bool,
    },
    /// As it does with what others have left.
    Settling { found: Vec<Aside>, is_named: bool },
}

impl Worker {
    fn upload(blobs: Blobs, content: &str, piece: &'static str) -> Self {
        Self {
            blobs,
            content: content.to_owned(),
            piece,
            work: Work::Upload(None),
            steps: 0,
        }
    }

    fn removal(blobs: Blobs, content: &str, piece: &'static str) -> Self {
        let work = Work::Removal {
            aside: None,
            is_named: false,
        };
        Self {
            work,
            ..Self::upload(blobs, content, piece)
        }
    }

    fn settling(blobs: Blobs, content: &str) -> Self {
        let work = Work::Settling {
            found: Vec::new(),
            is_named: false,
        };
        Self {
            work,
            ..Self::upload(blobs, content, "")
        }
    }

    async fn step(&mut self, names: &mut Names) {
        self.steps += 1;
        let (blobs, content) = (&self.blobs, self.content.as_str());
        match (&mut self.work, self.steps) {
            (Work::Upload(stored), 1) => *stored = Some(store(blobs).await),
            (Work::Upload(_), 2) => drop(names.insert(self.piece)),
            (Work::Upload(stored), _) => stored.take().unwrap().confirm().await.unwrap(),
            (Work::Removal { is_named, .. }, 1) => {
                *is_named = names.iter().any(|name| *name != self.piece);
            }
            (Work::Removal { aside, is_named }, 2 | 5) => {
                if aside.is_none() && !*is_named {
                    *aside = blobs.put_aside(content, 1).await.unwrap();
                }
            }
            (Work::Removal { .. }, 3) => drop(names.remove(self.piece)),
            (Work::Removal { is_named, .. }, 4 | 6) => *is_named = !names.is_empty(),
            (Work::Removal { aside, is_named }, _) => {
                if let Some(aside) = aside {
                    blobs.settle(aside, *is_named).await.unwrap();
                }
            }
            (Work::Settling { found, .. }, 1) => *found = blobs.aside_before(2).await.unwrap(),
            (Work::Settling { is_named, .. }, 2) => *is_named = !names.is_empty(),
            (Work::Settling { found, is_named }, _) => {
                for aside in found {
                    blobs.settle(aside, *is_named).await.unwrap();
                }
            }
        }
    }
}

const UPLOAD: usize = 3;
const REMOVAL: usize = 7;
const SETTLING: usize = 3;

/// All orders in which workers with so many steps can take turns.
fn orders(steps: &[usize]) -> Vec<Vec<usize>> {
    if steps.iter().all(|left| *left == 0) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (worker, _) in steps.iter().enumerate().filter(|(_, left)| **left > 0) {
        let mut left = steps.to_vec();
        left[worker] -= 1;
        for mut order in orders(&left) {
            order.insert(0, worker);
            all.push(order);
        }
    }
    all
}

/// A folder in which content lies that some pieces of media name.
async fn begin(names: &[&'static str]) -> (tempfile::TempDir, String, Names) {
    let folder = tempfile::tempdir().unwrap();
    let stored = store(&node(folder.path(), "z")).await;
    (folder, stored.sha256, names.iter().copied().collect())
}

async fn take_turns(workers: &mut [Worker], order: &[usize], names: &mut Names) {
    for worker in order {
        workers[*worker].step(names).await;
    }
}

#[tokio::test]
async fn an_upload_keeps_its_content_while_the_same_is_removed() {
    for order in orders(&[UPLOAD, REMOVAL]) {
        let (folder, content, mut names) = begin(&["old"]).await;
        let [a, b] = ["a", "b"].map(|name| node(folder.path(), name));
        let mut workers = [
            Worker::upload(a, &content, "new"),
            Worker::removal(b, &content, "old"),
        ];
        take_turns(&mut workers, &order, &mut names).await;
        assert!(is_there(&workers[0].blobs, &content).await, "{order:?}");
        let aside = workers[0].blobs.aside_before(u64::MAX).await.unwrap();
        assert!(aside.is_empty(), "{order:?}: {aside:?}");
    }
}

#[tokio::test]
async fn an_upload_keeps_its_content_although_a_removal_dies() {
    // What dies has come so far: before its record, or after it.
    for (died_after, stride) in [(2, 7), (3, 17)] {
        for order in orders(&[UPLOAD, died_after, SETTLING])
            .into_iter()
            .step_by(stride)
        {
            let (folder, content, mut names) = begin(&["old"]).await;
            let [a, b, c] = ["a", "b", "c"].map(|name| node(folder.path(), name));
            let mut workers = [
                Worker::upload(a, &content, "new"),
                Worker::removal(b, &content, "old"),
                Worker::settling(c.clone(), &content),
            ];
            take_turns(&mut workers, &order, &mut names).await;
            let mut later = [Worker::settling(c, &content)];
            take_turns(&mut later, &[0; SETTLING], &mut names).await;
            assert!(is_there(&workers[0].blobs, &content).await, "{order:?}");
        }
    }
}

#[tokio::test]
async fn the_last_of_two_removals_takes_the_content_with_it() {
    for order in orders(&[REMOVAL, REMOVAL]).into_iter().step_by(41) {
        let (folder, content, mut names) = begin(&["one", "two"]).await;
        let [a, b] = ["a", "b"].map(|name| node(folder.path(), name));
        let mut workers = [
            Worker::removal(a, &content, "one"),
            Worker::removal(b, &content, "two"),
        ];
        take_turns(&mut workers, &order, &mut names).await;
        assert!(!is_there(&workers[0].blobs, &content).await, "{order:?}");
        let aside = workers[0].blobs.aside_before(u64::MAX).await.unwrap();
        assert!(aside.is_empty(), "{order:?}: {aside:?}");
    }
}

#[tokio::test]
async fn what_is_aside_is_known_by_its_name_and_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = node(folder.path(), "node-1.example_x");
    assert!(blobs.aside_before(u64::MAX).await.unwrap().is_empty());
    let stored = store(&blobs).await;
    let aside = blobs.put_aside(&stored.sha256, 700).await.unwrap().unwrap();
    assert!(
        blobs
            .put_aside(&stored.sha256, 700)
            .await
            .unwrap()
            .is_none()
    );
    assert!(blobs.aside_before(700).await.unwrap().is_empty());
    let found = blobs.aside_before(701).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, stored.sha256);
    // What does not belong there is left alone.
    fs::write(folder.path().join("aside/700.notes.txt"), b"notes").unwrap();
    assert_eq!(blobs.aside_before(u64::MAX).await.unwrap().len(), 1);
    for _ in 0..2 {
        blobs.settle(&aside, true).await.unwrap();
        assert!(is_there(&blobs, &stored.sha256).await);
    }
}
