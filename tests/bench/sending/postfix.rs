//! A private Postfix that discards what it took in. Needs root, as Postfix does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::{Result, free_port, listening};

/// The instance; [`Postfix::stop`] ends it.
pub(crate) struct Postfix {
    config: PathBuf,
    queue: PathBuf,
    port: u16,
}

impl Postfix {
    pub(crate) async fn start(place: &Path) -> Result<Self> {
        let [config, queue, data] = ["config", "queue", "data"].map(|name| place.join(name));
        for folder in [&config, &queue, &data] {
            std::fs::create_dir_all(folder)?;
        }
        let port = free_port()?;
        let log = data.join("log");
        std::fs::write(config.join("main.cf"), main_cf(&queue, &data, &log))?;
        std::fs::write(config.join("master.cf"), master_cf(port)?)?;
        run("chown", &["postfix".as_ref(), data.as_ref()]).await?;
        run("postfix", &["-c".as_ref(), config.as_ref(), "start".as_ref()]).await?;
        listening(port, "Postfix", log).await?;
        Ok(Self { config, queue, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until nothing is in the queue.
    pub(crate) async fn drained(&self, most: Duration) -> Result<()> {
        let until = Instant::now() + most;
        let folders = ["maildrop", "incoming", "active"].map(|name| self.queue.join(name));
        loop {
            let mut left = 0;
            for folder in &folders {
                left += std::fs::read_dir(folder)?.count();
            }
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("Postfix does not get rid of {left} messages").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        run("postfix", &["-c".as_ref(), self.config.as_ref(), "stop".as_ref()]).await
    }
}

fn main_cf(queue: &Path, data: &Path, log: &Path) -> String {
    let prefix = data.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {prefix}\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
         mail_owner = postfix\nsetgid_group = postdrop\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nmyhostname = localhost.localdomain\nmydestination =\n\
         mynetworks = 127.0.0.0/8\ndefault_transport = discard\nalias_maps =\n\
         message_size_limit = 0\nmailbox_size_limit = 0\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\n\
         maillog_file = {}\nmaillog_file_prefixes = {prefix}\n",
        queue.display(),
        log.display()
    )
}

/// Debian's, without chroot and with the listener on a port of its own.
fn master_cf(port: u16) -> Result<String> {
    let usual = std::fs::read_to_string("/usr/share/postfix/master.cf.dist")?;
    let line = |line: &str| {
        let mut fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            ["smtp", "inet", ..] => format!("{port} inet n - n - - smtpd\n"),
            [_, _, _, _, _, ..] if begins_service(line) && fields.len() >= 8 => {
                fields[4] = "n";
                fields.join(" ") + "\n"
            }
            _ => format!("{line}\n"),
        }
    };
    Ok(usual.lines().map(line).collect())
}

/// Comments begin with `#`, lines that go on with a blank.
fn begins_service(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphanumeric())
}

async fn run(program: &str, args: &[&std::ffi::OsStr]) -> Result<()> {
    let output = Command::new(program).args(args).output().await?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
