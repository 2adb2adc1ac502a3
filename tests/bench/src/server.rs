//! The private Dovecot: Maildir storage in memory, a mailbox that is reset before each run, and the
//! processor time of its processes.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::corpus::{Sample, mailboxes};

/// Whose mailbox is sorted.
pub(crate) const USER: &str = "alice@example.test";
pub(crate) const PASSWORD: &str = "alice-pw";
/// Who has an empty mailbox, for a first run that is not measured.
pub(crate) const IDLE_USER: &str = "bob@example.test";
pub(crate) const IDLE_PASSWORD: &str = "bob-pw";

/// Ticks of a second in `/proc` (USER_HZ, which is 100 on every Linux).
const TICKS: f64 = 100.0;

/// A running server; dropping it ends it.
pub(crate) struct Server {
    folder: PathBuf,
    script: PathBuf,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    owner: (u32, u32),
}

impl Server {
    /// Starts it below the folder, by the script that the tests use.
    pub(crate) fn start(folder: &Path, root: &Path) -> Result<Self> {
        let script = root.join("tests/support/dovecot/imapd");
        fs::create_dir_all(folder).map_err(|why| format!("make {}: {why}", folder.display()))?;
        let settings = "mail_location = maildir:~/Maildir\nmail_plugins =\n\
                        protocol imap {\n  mail_plugins =\n}\n";
        fs::write(folder.join("extra.conf"), settings)
            .map_err(|why| format!("write extra.conf: {why}"))?;
        let output = Command::new(&script).arg("start").arg(folder).output();
        let output = output.map_err(|why| format!("run {}: {why}", script.display()))?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!(
                "Dovecot does not start: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let mail =
            fs::metadata(folder.join("mail")).map_err(|why| format!("look at mail: {why}"))?;
        Ok(Self {
            folder: folder.to_owned(),
            script,
            port: port(&told, "IMAP_PORT=")?,
            tls_port: port(&told, "IMAPS_PORT=")?,
            owner: (mail.uid(), mail.gid()),
        })
    }

    /// The authority of its certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("dovecot.conf")
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.folder.join("mail").join(USER).join("Maildir")
    }

    /// The user that Dovecot reads mail as, where that is not ours: root has it use its own.
    pub(crate) fn other_user(&self) -> Option<&'static str> {
        let ours = fs::metadata(self.configuration()).map(|file| file.uid());
        (ours.ok() != Some(self.owner.0)).then_some("dovecot")
    }

    /// Gives a path to the user that Dovecot reads mail as.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.owner.0), Some(self.owner.1))
            .map_err(|why| format!("change the owner of {}: {why}", path.display()))
    }

    /// An INBOX of exactly these messages, empty mailboxes to sort into, no index, no cache.
    pub(crate) fn reset(&self, samples: &[Sample]) -> Result<()> {
        self.wait_for_sessions()?;
        let home = self.folder.join("mail").join(USER);
        if home.exists() {
            fs::remove_dir_all(&home).map_err(|why| format!("empty {}: {why}", home.display()))?;
        }
        fs::create_dir_all(&home).map_err(|why| format!("make {}: {why}", home.display()))?;
        self.own(&home)?;
        let root = self.maildir();
        self.folders(&root)?;
        for mailbox in mailboxes() {
            let folder = root.join(format!(".{}", mailbox.replace('/', ".")));
            self.folders(&folder)?;
            let mark = folder.join("maildirfolder");
            fs::write(&mark, "").map_err(|why| format!("write {}: {why}", mark.display()))?;
            self.own(&mark)?;
        }
        samples.iter().try_for_each(|sample| link(sample, &root.join("cur")))
    }

    fn folders(&self, folder: &Path) -> Result<()> {
        for path in [folder.to_owned(), folder.join("cur"), folder.join("new"), folder.join("tmp")]
        {
            fs::create_dir(&path).map_err(|why| format!("make {}: {why}", path.display()))?;
            self.own(&path)?;
        }
        Ok(())
    }

    /// Seconds of processor that it has used, ended processes included.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let master = self.master()?;
        let own = ticks(master, &[11, 12, 13, 14]);
        let living: u64 = children(master).iter().map(|(pid, _)| ticks(*pid, &[11, 12])).sum();
        Ok((own + living) as f64 / TICKS)
    }

    /// Waits until no session runs any more: it may still write when its client has ended.
    pub(crate) fn wait_for_sessions(&self) -> Result<()> {
        let master = self.master()?;
        let end = Instant::now() + Duration::from_secs(30);
        while children(master).iter().any(|(_, name)| name == "imap") {
            if Instant::now() > end {
                return Err("a session of Dovecot does not end".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn master(&self) -> Result<i32> {
        let file = self.folder.join("run/master.pid");
        let text =
            fs::read_to_string(&file).map_err(|why| format!("read {}: {why}", file.display()))?;
        text.trim().parse().map_err(|why| format!("read {}: {why}", file.display()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(&self.script).arg("stop").arg(&self.folder).status();
    }
}

fn link(sample: &Sample, to: &Path) -> Result<()> {
    let name = sample.file.file_name().unwrap_or_default().to_string_lossy();
    let to = to.join(format!("{name}:2,"));
    fs::hard_link(&sample.file, &to).map_err(|why| format!("link {}: {why}", to.display()))
}

fn port(told: &str, key: &str) -> Result<u16> {
    let port = told.lines().find_map(|line| line.strip_prefix(key));
    port.and_then(|port| port.parse().ok()).ok_or_else(|| format!("imapd does not tell {key}"))
}

/// Process ids with their names.
fn children(parent: i32) -> Vec<(i32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let (name, fields) = stat(pid)?;
        (fields.get(1)?.parse() == Ok(parent)).then_some((pid, name))
    });
    processes.collect()
}

/// The sum of these fields, counted from the state, which is 0.
fn ticks(pid: i32, fields: &[usize]) -> u64 {
    let Some((_, all)) = stat(pid) else { return 0 };
    fields.iter().filter_map(|field| all.get(*field)?.parse::<u64>().ok()).sum()
}

fn stat(pid: i32) -> Option<(String, Vec<String>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    Some((name.to_owned(), rest.split_whitespace().map(ToOwned::to_owned).collect()))
}

/// Seconds of processor that the whole machine has used.
pub(crate) fn machine_cpu() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let numbers: Vec<u64> = first.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    let busy: u64 = numbers
        .iter()
        .enumerate()
        .filter(|(at, _)| matches!(at, 0..=2 | 5 | 6))
        .map(|(_, n)| n)
        .sum();
    busy as f64 / TICKS
}
