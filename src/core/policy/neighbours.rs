//! Programs that work on the same table, and what they change.

use crate::core::model::{Conntrackd, ConntrackdRole, Plan, Snapshot};

/// Names each conntrackd, and says what it changes.
pub(super) fn tell(snapshot: &Snapshot, plan: &mut Plan) {
    plan.waiting.extend(snapshot.conntrackd.0.iter().map(sentence));
}

fn sentence(conntrackd: &Conntrackd) -> String {
    let pid = conntrackd.pid;
    let does = match conntrackd.role {
        ConntrackdRole::Stats => {
            return format!("conntrackd (process {pid}, Stats) writes no entry, and changes nothing here");
        }
        ConntrackdRole::Sync => format!("conntrackd (process {pid}, Sync) writes entries of its peer"),
        ConntrackdRole::Unknown => {
            let why = conntrackd.why.as_deref().unwrap_or("its configuration was not read");
            format!("conntrackd (process {pid}) counts as one that syncs, for {why}")
        }
    };
    format!(
        "{does}: time left proves nobody idle, so that an entry goes only once scans saw it silent for its floor"
    )
}
