use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use futures_util::future::join_all;

use super::*;
use crate::auth::LoginLimits;
use crate::auth::hash_pool::WAITING;

const COST: u32 = 4;

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", entries::hash(password, COST).unwrap())
}

impl Passwords {
    async fn login_here(&self, user: &str, password: &[u8], now: SystemTime) -> Result<Hash, Error> {
        let here = Source::direct(std::net::Ipv4Addr::LOCALHOST.into());
        self.verify(user, password, here, now).await.map(|(entry, _)| entry)
    }
}

async fn open(path: &Path) -> Result<Passwords, Error> {
    Passwords::open(path, Arc::new(Defence::new(LoginLimits::default()))).await
}

async fn opened(text: &str) -> (tempfile::TempDir, PathBuf, Passwords) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, text).unwrap();
    let passwords = open(&path).await.unwrap();
    (dir, path, passwords)
}

fn later(seconds: u64) -> SystemTime {
    SystemTime::now() + Duration::from_secs(seconds)
}

fn is_wrong(outcome: &Result<Hash, Error>) -> bool {
    matches!(outcome, Err(Error::WrongCredentials))
}

#[tokio::test]
async fn unknown_users_and_dead_entries_cost_the_same_hash_as_known_ones() {
    let (_dir, _path, passwords) = opened(&format!("{}dead:plain\n", line("alice", "pw"))).await;
    let now = later(0);
    for (number, (user, password)) in [("alice", "wrong"), ("nobody", "pw"), ("dead", "plain"), ("", "")].into_iter().enumerate() {
        assert!(is_wrong(&passwords.login_here(user, password.as_bytes(), now).await), "{user}");
        assert_eq!(passwords.hashes(), number as u64 + 1, "{user}");
    }
}

#[tokio::test]
async fn a_remembered_password_costs_no_second_hash_and_a_wrong_one_always_does() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let now = later(10);
    for _ in 0..3 {
        assert!(passwords.login_here("alice", b"pw", now).await.is_ok());
    }
    assert_eq!(passwords.hashes(), 1);
    for _ in 0..2 {
        assert!(is_wrong(&passwords.login_here("alice", b"wrong", now).await));
    }
    assert_eq!(passwords.hashes(), 3);
    assert!(is_wrong(&passwords.login_here("alicep", b"w", now).await));
}

#[tokio::test]
async fn the_same_check_at_the_same_time_is_made_once() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let now = later(10);
    let outcomes = join_all((0..200).map(|_| passwords.login_here("alice", b"pw", now))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(passwords.hashes(), 1);
    assert!(passwords.running.lock().unwrap().is_empty());
}

#[tokio::test]
async fn beyond_the_queue_a_check_is_refused_as_busy() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let now = later(10);
    let guesses: Vec<String> = (0..WAITING + 200).map(|number| number.to_string()).collect();
    let outcomes = join_all(guesses.iter().map(|guess| passwords.login_here("alice", guess.as_bytes(), now))).await;
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Busy))));
    assert!(outcomes.iter().any(is_wrong));
    assert!(passwords.running.lock().unwrap().is_empty());
    assert!(passwords.login_here("alice", b"pw", now).await.is_ok());
}

#[tokio::test]
async fn a_closed_address_gets_no_hash_and_a_remembered_password_needs_none() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let there = Source::direct("192.0.2.1".parse().unwrap());
    let now = later(10);
    assert_eq!(passwords.verify("alice", b"pw", there, now).await.unwrap().1, Proof::Login);
    for _ in 0..20 {
        // Another user each time, so that no answer has to wait.
        let user = uuid::Uuid::new_v4().to_string();
        assert!(matches!(passwords.verify(&user, b"guess", there, now).await, Err(Error::WrongCredentials)));
    }
    let hashes = passwords.hashes();
    for user in ["alice", "nobody"] {
        assert!(matches!(passwords.verify(user, b"guess", there, now).await, Err(Error::Closed(_))), "{user}");
    }
    assert_eq!(passwords.verify("alice", b"pw", there, now).await.unwrap().1, Proof::Remembered);
    assert_eq!(passwords.hashes(), hashes);
    assert!(passwords.login_here("alice", b"pw", now).await.is_ok(), "nobody else is locked out");
}

#[tokio::test]
async fn a_burst_of_guesses_gets_no_further_than_one_after_the_other() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let there = Source::direct("192.0.2.1".parse().unwrap());
    let now = later(10);
    let guesses: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    let attempts = guesses.iter().map(|guess| passwords.verify(guess, b"x", there, now));
    let outcomes = join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::WrongCredentials))).count() as u64, passwords.hashes());
    assert_eq!(passwords.hashes(), 20);
}

#[tokio::test]
async fn a_changed_file_is_read_again_and_what_was_remembered_is_dropped() {
    let (_dir, path, passwords) = opened(&line("alice", "old")).await;
    assert!(passwords.login_here("alice", b"old", later(10)).await.is_ok());
    fs::write(&path, line("alice", "new")).unwrap();
    assert!(passwords.login_here("alice", b"new", later(11)).await.is_ok());
    assert!(is_wrong(&passwords.login_here("alice", b"old", later(11)).await));
}

#[tokio::test]
async fn a_young_file_that_stays_the_same_forgets_nothing() {
    let (_dir, path, passwords) = opened(&line("alice", "pw")).await;
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    for seconds in 0..5 {
        assert!(passwords.login_here("alice", b"pw", modified + Duration::from_secs(seconds)).await.is_ok());
    }
    assert_eq!(passwords.hashes(), 1);
}

#[tokio::test]
async fn two_changes_within_one_tick_are_both_seen() {
    let (_dir, path, passwords) = opened(&line("alice", "old")).await;
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, line("alice", "new")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert!(passwords.login_here("alice", b"new", modified + Duration::from_secs(1)).await.is_ok());
}

#[tokio::test]
async fn a_bad_or_vanished_file_keeps_the_old_entries() {
    let (_dir, path, passwords) = opened(&line("alice", "pw")).await;
    fs::write(&path, "no colon here\n").unwrap();
    assert!(passwords.login_here("alice", b"pw", later(10)).await.is_ok());
    assert!(matches!(passwords.reload().await, Err(Error::PasswordLine { line: 1, .. })));
    fs::remove_file(&path).unwrap();
    assert!(passwords.login_here("alice", b"pw", later(11)).await.is_ok());
    assert!(passwords.entry("alice", later(12)).await.is_some());
    fs::write(&path, line("bob", "pw")).unwrap();
    assert!(is_wrong(&passwords.login_here("alice", b"pw", later(13)).await));
    assert!(passwords.login_here("bob", b"pw", later(13)).await.is_ok());
}

#[tokio::test]
async fn within_a_second_the_file_is_not_looked_at_but_a_reload_reads_it() {
    let (_dir, path, passwords) = opened(&line("alice", "old")).await;
    let now = later(10);
    assert!(passwords.login_here("alice", b"old", now).await.is_ok());
    fs::write(&path, line("alice", "new")).unwrap();
    assert!(passwords.login_here("alice", b"old", now).await.is_ok());
    passwords.reload().await.unwrap();
    assert!(is_wrong(&passwords.login_here("alice", b"old", now).await));
}

#[tokio::test]
async fn a_missing_file_is_made_with_one_user_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth/htpasswd");
    open(&path).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("docker:$2y$10$") && text.lines().count() == 1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    open(&path).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_file_is_named_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path()).await.err().unwrap();
    assert!(error.to_string().starts_with(&format!("{} is a directory", dir.path().display())), "{error}");
}

#[tokio::test]
async fn a_remembered_password_is_a_matter_of_microseconds() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let now = later(10);
    passwords.login_here("alice", b"pw", now).await.unwrap();
    let start = Instant::now();
    for _ in 0..1000 {
        passwords.login_here("alice", b"pw", now).await.unwrap();
    }
    // A thousand in less than one hash at cost 10 takes, even unoptimised.
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_address_that_is_closed_answers_for_no_other() {
    let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
    let passwords = Arc::new(passwords);
    let from = |address: &str| Source::direct(address.parse().unwrap());
    // Every thread is busy, so that both wait for one hash.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let busy: Vec<_> = (0..(std::thread::available_parallelism().unwrap().get() / 2).max(1))
        .map(|_| {
            let (passwords, held) = (Arc::clone(&passwords), Arc::clone(&held));
            tokio::spawn(async move { passwords.pool.run(0, move || held.lock().unwrap().recv().is_err()).await })
        })
        .collect();
    let login = |address: &'static str| {
        let passwords = Arc::clone(&passwords);
        tokio::spawn(async move { passwords.verify("alice", b"pw", from(address), later(0)).await })
    };
    let first = login("192.0.2.1");
    while passwords.running.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = login("198.51.100.1");
    while passwords.running.lock().unwrap().values().all(|outcome| Arc::strong_count(outcome) < 3) {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        passwords.defence.count(from("192.0.2.1"), "bob");
    }
    drop(release);
    assert!(matches!(first.await.unwrap(), Err(Error::Closed(_))));
    assert!(second.await.unwrap().is_ok());
    join_all(busy).await;
}
