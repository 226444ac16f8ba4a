//! Processes that are held at a known point, so that what happens meanwhile does not hang on who is faster.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::{Ended, World, files, until};

/// A process that is killed when the test forgets it, or fails.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// Starts `command`.
    pub fn spawn(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Whether it has this file open.
    pub fn has_open(&mut self, path: &Path) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child().id())).unwrap();
        // Some are closed again by the time they are looked at.
        open.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path))
    }

    /// The next line of standard error; `None` at its end.
    pub fn line(&mut self) -> Option<String> {
        let stderr = self.child().stderr.as_mut().expect("it was started with a pipe");
        // Byte by byte: what a buffer read ahead would be lost to the next call.
        let mut line = Vec::new();
        let mut byte = [0];
        while stderr.read(&mut byte).unwrap() == 1 {
            if byte == *b"\n" {
                return Some(String::from_utf8(line).unwrap());
            }
            line.push(byte[0]);
        }
        None
    }

    /// Waits for its end, which must come by itself.
    pub fn wait(mut self) -> Ended {
        until("the end of a process", || self.child().try_wait().unwrap().is_some());
        self.0.take().unwrap().wait_with_output().unwrap().into()
    }

    /// Asks it to end, as a service manager does, and waits for that.
    pub fn terminate(mut self) -> Ended {
        let pid = rustix::process::Pid::from_child(self.child());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait()
    }

    /// kill -9.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// A push that has opened its version, holds the dataset, runs the engine unless another process does, and has not looked at
/// the source yet: it waits for its stat cache, which is a pipe that nobody writes to.
#[derive(Debug)]
pub struct HeldPush {
    child: Running,
    cache: PathBuf,
    pipe: File,
}

impl HeldPush {
    /// Starts the binary with `args`, a push of the home's only dataset, which has been pushed before.
    pub fn start(world: &World, args: &[&str]) -> Self {
        let caches = files(&world.path("home/cache"));
        let [cache] = &caches[..] else { panic!("one push makes one cache, not {caches:?}") };
        fs::remove_file(cache).unwrap();
        make_fifo(cache);
        let mut command = world.command(args);
        let child = Running::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut pipe = None;
        until("the push at its stat cache", || {
            // Refused until a reader waits at the other end.
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
            pipe = OpenOptions::new().write(true).custom_flags(flags).open(cache).ok();
            pipe.is_some()
        });
        Self { child, cache: cache.clone(), pipe: pipe.unwrap() }
    }

    /// Lets it go on, without a cache.
    pub fn go_on(self) -> Running {
        drop(self.pipe);
        self.child
    }

    /// Kills it where it stands; the next push finds no cache.
    pub fn kill(self) {
        self.child.kill();
        fs::remove_file(self.cache).unwrap();
    }
}

/// A store that answers nobody: its marker, which is read before anything is written, is a pipe that nobody writes to.
#[derive(Debug)]
pub struct HeldStore {
    marker: PathBuf,
    aside: PathBuf,
}

impl HeldStore {
    /// Holds the initialised store in this directory of the world, and lets nobody lose patience with it.
    pub fn new(world: &World, store: &str) -> Self {
        let config = world.path("home/config.toml");
        let text = fs::read_to_string(&config).unwrap();
        let path = format!("path = \"{}\"", world.path(store).display());
        assert!(text.contains(&path), "no store lies at {path} in {text}");
        fs::write(&config, text.replace(&path, &format!("{path}\ntimeout_secs = 3000"))).unwrap();
        let (marker, aside) = (world.path(store).join("n2s.json"), world.path("marker-aside"));
        fs::rename(&marker, &aside).unwrap();
        make_fifo(&marker);
        Self { marker, aside }
    }

    /// From now on it answers; who has asked before waits for ever, and is to be killed.
    pub fn release(self) {
        fs::rename(&self.aside, &self.marker).unwrap();
    }
}
