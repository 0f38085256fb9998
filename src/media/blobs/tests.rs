use super::*;

fn open(folder: &Path, upload_bytes_max: u64) -> Blobs {
    let media = Media {
        upload_bytes_max,
        ..Media::default()
    };
    Blobs::open(&media, folder.to_owned()).unwrap()
}

async fn store(blobs: &Blobs, shelf: Shelf, content: &[u8]) -> StoredBlob {
    let mut upload = blobs.begin(shelf);
    for piece in content.chunks(10_000) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload.finish().await.unwrap()
}

async fn all(blobs: &Blobs, name: &str, range: Option<Range<u64>>) -> Vec<u8> {
    let pieces = blobs.read(name, range).await.unwrap();
    pieces.try_collect::<Vec<_>>().await.unwrap().concat()
}

fn content(length: u32) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn comes_back_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 10 << 20);
    let content = content(3_000_000);
    let first = store(&blobs, Shelf::Uploads, &content).await;
    let again = store(&blobs, Shelf::Uploads, &content).await;
    assert_eq!(
        (again.sha256, again.size_bytes),
        (first.sha256.clone(), 3_000_000)
    );
    assert_eq!(first.size_bytes, 3_000_000);
    assert_eq!(
        first.sha256,
        format!("b3-{}", blake3::hash(&content).to_hex())
    );
    assert_eq!(all(&blobs, &first.sha256, None).await, content);
    for range in [0..1, 1..300_000, 2_999_999..3_000_000, 500_000..2_000_000] {
        let wanted = &content[range.start as usize..range.end as usize];
        assert_eq!(all(&blobs, &first.sha256, Some(range)).await, wanted);
    }
    let left = fs::read_dir(folder.path().join("incoming"));
    assert_eq!(left.unwrap().count(), 0);
}

#[test]
fn a_node_removes_its_own_broken_uploads_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let node = |name| NodeName::parse(name).unwrap();
    for name in ["a", "b"] {
        let incoming = folder.path().join(format!("incoming-node-{name}"));
        fs::create_dir_all(&incoming).unwrap();
        fs::write(incoming.join("1"), b"half").unwrap();
    }
    Blobs::open_among(&Media::default(), folder.path().to_owned(), &node("a")).unwrap();
    assert!(!folder.path().join("incoming-node-a/1").exists());
    assert!(folder.path().join("incoming-node-b/1").exists());
}

#[tokio::test]
async fn what_was_stored_under_older_names_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 1 << 20);
    let name = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let place = folder.path().join("blobs/2c/f2");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(name), b"hello").unwrap();
    assert_eq!(all(&blobs, name, None).await, b"hello");
    assert_eq!(all(&blobs, name, Some(1..3)).await, b"el");
    for unknown in ["b3-00", "../../../etc/passwd", &name.replace('2', "3")] {
        let answer = blobs.read(unknown, None).await;
        assert!(matches!(answer, Err(BlobError::Missing)), "{unknown}");
    }
}

#[tokio::test]
async fn too_large_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 1000);
    let mut upload = blobs.begin(Shelf::Uploads);
    let refused = upload.write(Bytes::from(vec![0; 1001])).await;
    assert!(matches!(refused, Err(BlobError::TooLarge(1000))));
    drop(upload);
    assert!(!folder.path().join("blobs").exists());
}

#[tokio::test]
async fn what_comes_can_be_read_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 1 << 20);
    let mut upload = blobs.begin(Shelf::Uploads);
    let file = upload.so_far().await.unwrap();
    assert_eq!(upload.size_bytes(), 0);
    for piece in ["one", "two"] {
        upload.write(Bytes::from(piece)).await.unwrap();
        upload.so_far().await.unwrap();
    }
    let read = async |range| shared_piece(file.clone(), range).await;
    assert_eq!(read(1..5).await.unwrap(), "netw");
    assert!(read(0..7).await.is_err(), "there is not so much");
    upload.write(Bytes::from("three")).await.unwrap();
    let stored = upload.finish().await.unwrap();
    assert_eq!(all(&blobs, &stored.sha256, None).await, b"onetwothree");
    // It is the same file, wherever it lies now.
    assert_eq!(read(6..11).await.unwrap(), "three");
}

#[tokio::test]
async fn empty_is_a_blob_too() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 1000);
    let stored = blobs.begin(Shelf::Uploads).finish().await.unwrap();
    assert_eq!(stored.size_bytes, 0);
    assert!(all(&blobs, &stored.sha256, None).await.is_empty());
}

#[tokio::test]
async fn pictures_of_old_previews_go() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 1000);
    let old = store(&blobs, Shelf::Previews { day: 9 }, b"picture").await;
    let new = store(&blobs, Shelf::Previews { day: 10 }, b"picture").await;
    let upload = store(&blobs, Shelf::Uploads, b"picture").await;
    blobs.remove_previews_before(10).await.unwrap();
    let gone = blobs.read(&old.sha256, None).await;
    assert!(matches!(gone, Err(BlobError::Missing)));
    for kept in [new, upload] {
        assert_eq!(all(&blobs, &kept.sha256, None).await, b"picture");
    }
}

#[tokio::test]
async fn what_is_removed_goes_with_its_thumbnails() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path(), 1 << 20);
    let [one, other] = [
        store(&blobs, Shelf::Uploads, b"one").await.sha256,
        store(&blobs, Shelf::Uploads, b"other").await.sha256,
    ];
    let small = address::thumbnail_path(&one, "32x32-crop").unwrap();
    blobs
        .keep_small(&small, Bytes::from_static(b"small"))
        .await
        .unwrap();
    for _ in 0..2 {
        let _alone = blobs.alone(&one).await.unwrap();
        blobs.remove(&one).await.unwrap();
    }
    assert!(matches!(
        blobs.read(&one, None).await,
        Err(BlobError::Missing)
    ));
    assert!(matches!(blobs.small(&small).await, Err(BlobError::Missing)));
    assert_eq!(all(&blobs, &other, None).await, b"other");
    let again = store(&blobs, Shelf::Uploads, b"one").await;
    assert_eq!(all(&blobs, &again.sha256, None).await, b"one");
}
