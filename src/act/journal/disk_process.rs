//! A process for the files alone.
//!
//! A thread that waits for a disk that does not answer waits uninterruptibly (`percpu_rwsem_wait` for a frozen file
//! system, `io_schedule` for a suspended device): not even SIGKILL ends it, nor the process that it belongs to, whose
//! locks and sockets stay taken until the disk is back. So the agent's threads wait on a socket, for a process that has
//! nothing but the files. It ends when the agent does, or as soon after as the disk lets it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::disk::{Answer, Answered, Asked, Disk, Found, Question, Request, SharedDisk, Stamp};

impl SharedDisk {
    /// A process of its own: this program again, with `argument`, which has to come to [`super::serve`].
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub fn of_another_process(argument: &str) -> io::Result<SharedDisk> {
        Ok(SharedDisk::new(DiskProcess {
            running: Running::start(argument.as_ref())?,
            argument: argument.into(),
        }))
    }
}

struct DiskProcess {
    running: Running,
    argument: String,
}

struct Running {
    _child: Child,
    requests: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Running {
    fn start(argument: &OsStr) -> io::Result<Running> {
        let (here, there) = UnixStream::pair()?;
        let output = OwnedFd::from(there.try_clone()?);
        // The program that runs, also where a package has replaced its file since.
        let mut command = Command::new("/proc/self/exe");
        command.arg(argument).stdin(OwnedFd::from(there)).stdout(output).stderr(Stdio::null());
        Ok(Running { _child: command.spawn()?, requests: here.try_clone()?, answers: BufReader::new(here) })
    }

    fn ask(&mut self, line: &[u8]) -> io::Result<Answer> {
        self.requests.write_all(line)?;
        let mut answer = String::new();
        match self.answers.read_line(&mut answer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the process that writes files has ended")),
            _ => Ok(serde_json::from_str(&answer)?),
        }
    }
}

impl Disk for DiskProcess {
    fn ask(&mut self, request: &Request) -> io::Result<Option<Stamp>> {
        match self.exchange(&Asked::Do(request.clone()))? {
            Answered::Done(stamp) => Ok(stamp),
            Answered::Found(_) => Err(mixed_up()),
        }
    }

    fn read(&mut self, question: &Question) -> io::Result<Found> {
        match self.exchange(&Asked::Read(question.clone()))? {
            Answered::Found(found) => Ok(*found),
            Answered::Done(_) => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the process that writes files answered another question")
}

impl DiskProcess {
    fn exchange(&mut self, asked: &Asked) -> io::Result<Answered> {
        let mut line = serde_json::to_vec(asked)?;
        line.push(b'\n');
        let answer = self.running.ask(&line).or_else(|_| {
            // Somebody ended it: what it was at may be done or not, and every request can be repeated.
            self.running = Running::start(self.argument.as_ref())?;
            self.running.ask(&line)
        })?;
        answer.map_err(|(errno, text)| match errno {
            0 => io::Error::other(text),
            errno => io::Error::from_raw_os_error(errno),
        })
    }
}
