use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use tar::Header;

/// One entry with names that the crate's own writer would refuse.
fn entry(kind: EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    sized(kind, name, link, content, content.len() as u64)
}

fn sized(kind: EntryType, name: &str, link: &str, content: &[u8], size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_mtime(1_500_000_000);
    header.set_size(size);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// A directory `copy` in a room with a file `outside` and a directory `victim`, which must stay as they are.
struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        fs::create_dir(room.path().join("copy")).unwrap();
        fs::create_dir(room.path().join("victim")).unwrap();
        fs::write(room.path().join("outside"), "untouched").unwrap();
        Self(room)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn extract(&self, bytes: &[u8]) -> anyhow::Result<Extracted> {
        let into = Dir::open_ambient_dir(self.path("copy"), cap_std::ambient_authority()).unwrap();
        extract(bytes, &into, true, |_| {})
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(self.path("outside")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(self.path("victim")).unwrap().count(), 0);
        let mode = fs::metadata(self.path("victim")).unwrap().permissions().mode() & 0o777;
        assert_ne!(mode, 0o700);
        let mut names: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["copy", "outside", "victim"]);
    }
}

#[test]
fn files_directories_and_inner_links_come_out_as_they_were() {
    let room = Room::new();
    let bytes = archive(&[
        entry(EntryType::Directory, "./", "", b""),
        entry(EntryType::Directory, "./d/", "", b""),
        entry(EntryType::Regular, "./d/file", "", b"content"),
        entry(EntryType::Symlink, "./d/link", "../other", b""),
        entry(EntryType::Regular, "./other", "", b""),
        entry(EntryType::Link, "./hard", "./d/file", b""),
    ]);
    let extracted = room.extract(&bytes).unwrap();
    assert_eq!(extracted.refused, Vec::<String>::new());
    assert_eq!(extracted.files.len(), 2);
    assert_eq!(fs::read_to_string(room.path("copy/d/file")).unwrap(), "content");
    assert_eq!(fs::read_to_string(room.path("copy/hard")).unwrap(), "content");
    assert_eq!(fs::read_link(room.path("copy/d/link")).unwrap(), Path::new("../other"));
    let metadata = fs::metadata(room.path("copy/d/file")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o755, "no set-user-ID");
    assert_eq!(
        metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        1_500_000_000
    );
    // Again, over what is there.
    assert_eq!(room.extract(&bytes).unwrap().files.len(), 2);
}

/// What a container that is not to be trusted may send.
#[test]
fn a_hostile_archive_writes_nothing_outside_and_the_entry_is_named() {
    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
    let elsewhere = tempfile::tempdir().unwrap();
    let absolute = elsewhere.path().join("hostile");
    let table: [(&str, Vec<Vec<u8>>, &str); 16] = [
        ("an absolute name", vec![entry(Regular, absolute.to_str().unwrap(), "", b"x")], "an absolute name"),
        ("a name upwards", vec![entry(Regular, "../outside", "", b"x")], "a name with `..`"),
        ("a name upwards within", vec![entry(Regular, "a/../../outside", "", b"x")], "a name with `..`"),
        ("a directory upwards", vec![entry(Directory, "../victim", "", b"")], "a name with `..`"),
        ("an absolute link", vec![entry(Symlink, "link", "/etc/passwd", b"")], "an absolute path"),
        ("a link upwards", vec![entry(Symlink, "link", "../outside", b"")], "out of the copy"),
        (
            "a link upwards within",
            vec![entry(Symlink, "a/link", "b/../../../outside", b"")],
            "out of the copy",
        ),
        ("a link for the whole", vec![entry(Symlink, "./", "victim", b"")], "without a name"),
        (
            "a file behind a link",
            vec![entry(Symlink, "link", "../victim", b""), entry(Regular, "link/file", "", b"x")],
            "out of the copy",
        ),
        (
            "a chain of links, each of which stays inside by its words",
            vec![
                entry(Directory, "a/b/", "", b""),
                entry(Symlink, "a/b/up", "..", b""),
                entry(Symlink, "way", "a/b/up/../..", b""),
                entry(Regular, "way/victim/file", "", b"x"),
            ],
            "cannot write",
        ),
        ("a hard link outside", vec![entry(Link, "hard", "../outside", b"")], "no file of this copy"),
        ("a hard link to a path", vec![entry(Link, "hard", "/etc/passwd", b"")], "no file of this copy"),
        ("a device", vec![entry(Char, "null", "", b"")], "a device"),
        ("a block device", vec![entry(Block, "disk", "", b"")], "a device"),
        ("a named pipe", vec![entry(Fifo, "pipe", "", b"")], "a named pipe"),
        ("2^63 bytes", vec![sized(Regular, "huge", "", b"x", 1 << 63)], "more than a file can have"),
    ];
    for (case, entries, expected) in table {
        let room = Room::new();
        let said = match room.extract(&archive(&entries)) {
            Ok(extracted) => extracted.refused.join("\n"),
            Err(error) => format!("{error:#}"),
        };
        if case.starts_with("a chain") {
            // Whatever comes of it, it comes inside.
        } else {
            assert!(said.contains(expected), "{case}: {said:?}");
        }
        room.is_untouched();
        assert!(!absolute.exists(), "{case}");
    }
}

#[test]
fn links_that_were_there_before_are_not_followed_out() {
    let room = Room::new();
    std::os::unix::fs::symlink("../victim", room.path("copy/way")).unwrap();
    std::os::unix::fs::symlink("../outside", room.path("copy/file")).unwrap();
    let behind = archive(&[entry(EntryType::Regular, "way/file", "", b"x")]);
    assert!(room.extract(&behind).is_err());
    let directory = archive(&[entry(EntryType::Directory, "way/", "", b"")]);
    assert!(room.extract(&directory).is_err());
    let over = archive(&[entry(EntryType::Regular, "file", "", b"new")]);
    room.extract(&over).unwrap();
    assert_eq!(fs::read_to_string(room.path("copy/file")).unwrap(), "new", "the link was replaced");
    room.is_untouched();
}

#[test]
fn an_archive_that_ends_early_is_an_error() {
    let room = Room::new();
    let whole = archive(&[entry(EntryType::Regular, "file", "", &[7; 2000])]);
    for len in [100, 512, 600, 2511] {
        let error = room.extract(&whole[..len]).map(|extracted| extracted.files.len());
        assert!(error.is_err(), "{len}: {error:?}");
    }
    let long_name = [entry(EntryType::GNULongName, "././@LongLink", "", &vec![b'a'; 3_000_000])];
    let error = format!("{:#}", room.extract(&archive(&long_name)).unwrap_err());
    assert!(error.contains("longer than 1 MiB"), "{error}");
}
