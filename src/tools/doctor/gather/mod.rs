//! Facts from the kernel and from files. Reading is all that happens here, and it loads no module: what would need one
//! that is not there is left out and said.

mod boot;
mod commands;
mod files;
mod hooks;
mod runtime;
mod table;
mod units;

use std::path::{Path, PathBuf};

use super::{Facts, document};
use crate::core::model::{DoctorDocument, Header, Netns, NotExamined, Settings};
use crate::direct::Target;
use crate::error::{Error, Result};
use crate::linux::clock;
use crate::linux::image::Image;
use crate::linux::modules::Modules;
use crate::linux::netns::Namespace;
use crate::linux::root::Root;

/// Examines a mounted image or a tree of files: no kernel is asked.
///
/// # Errors
/// Exit 3 where `root` is no directory that can be read, or holds no `etc`.
pub fn image(root: &Path) -> Result<DoctorDocument> {
    let what = root.display().to_string();
    let hint = "name the directory where the image is mounted, the one that holds etc/";
    std::fs::read_dir(root).map_err(|error| Error::unreachable(&what, error).hint(hint))?;
    let image = Image::new(Root(root.to_path_buf()));
    if !image.exists("etc") {
        return Err(Error::unreachable(what, "it holds no etc").hint(hint));
    }
    let shown = what.trim_end_matches('/');
    let facts = Facts {
        root: Some(shown.to_owned()),
        files: Some(files::gather(&image, &[], None)),
        runtime: None,
        not_examined: unreadable(&image, shown),
    };
    Ok(document(header(Netns::default()), &facts))
}

/// Question to [`running`].
pub struct Question<'a> {
    /// Network namespace that is asked about.
    pub target: &'a Target,
    /// By which entries are judged.
    pub settings: &'a Settings,
    /// As the operator named it.
    pub spec: Option<&'a str>,
    /// Call of this program, with the options that say where: `ctctl --netns blue`.
    pub program: String,
    /// Directories in which agents keep baselines.
    pub baselines: &'a [PathBuf],
    /// Seconds between two looks at the counters.
    pub sample_seconds: u64,
}

impl Question<'_> {
    fn namespace(&self) -> &Namespace {
        self.target.namespace()
    }
}

/// Examines the running system: its kernel in one namespace, and its files where that is the caller's own.
///
/// # Errors
/// Exit 3 where the namespace cannot be entered.
pub fn running(question: &Question<'_>) -> Result<DoctorDocument> {
    let own = question.namespace().is_own();
    question.namespace().enter()?;
    let release = runtime::release();
    let modules = Modules::running(&release);
    let mut not_examined = Vec::new();
    let runtime = runtime::gather(question, own, &modules, &release, &mut not_examined);
    let image = Image::new(Root::default());
    let files = own.then(|| files::gather(&image, &[release], Some(&modules)));
    match files {
        Some(_) => not_examined.extend(unreadable(&image, "")),
        None => not_examined.push(NotExamined {
            what: "files of settings".into(),
            why: "they apply to the namespace of the host, not to this one".into(),
            failed: false,
        }),
    }
    let facts = Facts { root: None, files, runtime: Some(runtime), not_examined };
    Ok(document(header(question.target.netns().clone()), &facts))
}

fn header(netns: Netns) -> Header {
    Header { schema: 1, taken_at: clock::now_rfc3339(), netns }
}

fn unreadable(image: &Image, prefix: &str) -> Vec<NotExamined> {
    let said = image.unreadable().into_iter();
    said.map(|(path, why)| NotExamined { what: format!("{prefix}{path}"), why, failed: true }).collect()
}
