//! A directory whose file system does not answer: what looks into it waits until this is dropped.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A FUSE file system of which no request is ever read.
#[derive(Debug)]
pub struct Unanswered {
    directory: CString,
    requests: Option<File>,
}

impl Unanswered {
    /// Mounts it over a directory.
    pub fn over(directory: &Path) -> Self {
        let requests = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
        let path = CString::new(directory.as_os_str().as_bytes()).expect("a path");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", requests.as_raw_fd());
        let options = CString::new(options).expect("options");
        let fuse = c"fuse";
        // SAFETY: all four are strings that live until the call is over.
        let mounted =
            unsafe { libc::mount(fuse.as_ptr(), path.as_ptr(), fuse.as_ptr(), 0, options.as_ptr().cast()) };
        assert_eq!(mounted, 0, "mount: {}", std::io::Error::last_os_error());
        Unanswered { directory: path, requests: Some(requests) }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        // With its other end closed, whatever waits is refused.
        drop(self.requests.take());
        // SAFETY: a string that lives until the call is over.
        unsafe { libc::umount2(self.directory.as_ptr(), libc::MNT_DETACH) };
    }
}
