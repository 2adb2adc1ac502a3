//! The engine as a process of its own, with a listener, one account and one user.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use mailmill::send::password::hash;

use super::{Login, Result, free_port, listening};

/// The engine; it is killed where it is dropped.
pub(crate) struct Mill {
    process: Child,
    config: PathBuf,
    port: u16,
}

const LOGIN: Login = Login { user: "anna", password: "anna-pw" };

const RULE: &str = r#"fn outbound(mail) {
    mail.strip_receipt_requests();
    if mail.subject.contains("Rechnung") { mail.add_header("X-Kind", "invoice"); }
}
"#;

impl Mill {
    pub(crate) async fn start(place: &Path, relay: u16) -> Result<Self> {
        std::fs::create_dir_all(place.join("scripts"))?;
        std::fs::write(place.join("scripts/out.rhai"), RULE)?;
        let (port, config) = (free_port()?, place.join("mailmill.toml"));
        std::fs::write(&config, toml(port, relay, &hash(&LOGIN.password.into())?))?;
        // It holds a hash, and mailmill takes none from a file that others can read.
        std::fs::set_permissions(&config, Permissions::from_mode(0o600))?;
        // Not where the configuration lies, which mailmill watches.
        let log = place.with_extension("log");
        let process = Command::new(program()?)
            .args(["run".as_ref(), "--config".as_ref(), config.as_os_str()])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        listening(port, "mailmill", log).await?;
        Ok(Self { process, config, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn login(&self) -> Login {
        LOGIN
    }

    /// The most memory that was resident so far, in KiB.
    pub(crate) fn peak_kib(&self) -> Result<u64> {
        let process = self.process.id().ok_or("mailmill has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        Ok(line.unwrap_or_default().trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Waits until nothing is in the queue.
    pub(crate) async fn drained(&self, most: Duration) -> Result<()> {
        let until = Instant::now() + most;
        while !self.ask(&["queue", "list", "--json"]).await?.trim().is_empty() {
            if Instant::now() > until {
                return Err("the queue does not get empty".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Lets everything that waits be tried now.
    pub(crate) async fn retry_all(&self) -> Result<()> {
        self.ask(&["queue", "retry"]).await.map(drop)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    async fn ask(&self, command: &[&str]) -> Result<String> {
        let mut call = Command::new(program()?);
        let output = call.args(command).arg("--config").arg(&self.config).output().await?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{command:?}: {why}").into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The program that was built beside this one.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).ok_or("this program lies nowhere")?;
    let program = folder.join("mailmill");
    match program.is_file() {
        true => Ok(program),
        false => Err("mailmill is not built: cargo build --release".into()),
    }
}

fn toml(port: u16, relay: u16, hash: &str) -> String {
    format!(
        "[accounts.office]\naddress = \"anna@example.com\"\noutbound = \"send\"\n\
         smtp = \"smtp://127.0.0.1:{relay}\"\ntls = \"none\"\nsmtp_connections = 20\n\
         [pipelines.send]\nsteps = [{{ script = \"out\" }}]\n\
         [submission]\nlisten = \"127.0.0.1:{port}\"\n\
         [users.anna]\npassword = \"{hash}\"\nsend_as = [\"anna@example.com\"]\n"
    )
}
