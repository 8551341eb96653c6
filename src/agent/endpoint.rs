//! The metrics endpoint: one for all namespaces of this agent, in the namespace in which the agent was started.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::sleep;

use super::site::{Trouble, View};
use crate::control;
use crate::metrics::{self, Limits, Listener, Pages, Reading, Steady};

/// Interval at which an address that is taken is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Time for which a page is handed out again, however many ask.
const PAGE: Duration = Duration::from_millis(250);

/// The topic of [`Trouble`] while nobody can ask for metrics.
const TOPIC: &str = "metrics";

/// Everything that is told at the endpoint.
pub struct Endpoint {
    namespaces: Vec<(View, Mutex<Steady>)>,
    last: Mutex<Option<(Instant, String)>>,
}

impl Endpoint {
    /// Of all namespaces, those that are missing among them.
    pub fn new(namespaces: impl Iterator<Item = View>) -> Arc<Self> {
        let namespaces = namespaces.map(|view| (view, Mutex::default())).collect();
        Arc::new(Endpoint { namespaces, last: Mutex::new(None) })
    }

    /// Reads the namespaces that are watched, and the keys of the others.
    async fn read(&self) -> (Vec<Reading>, Vec<String>) {
        let (mut readings, mut missing) = (Vec::new(), Vec::new());
        for (view, steady) in &self.namespaces {
            let reading = match view.answers() {
                Ok(answers) => answers.reading(steady).await.ok_or_else(|| answers.netns.key()),
                Err((key, _)) => Err(key),
            };
            match reading {
                Ok(reading) => readings.push(reading),
                Err(key) => missing.push(key),
            }
        }
        (readings, missing)
    }
}

impl Pages for Endpoint {
    fn page(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        Box::pin(async move {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, page)) = last.filter(|(made, _)| made.elapsed() < PAGE) {
                return page;
            }
            let (readings, missing) = self.read().await;
            let page = metrics::write(&readings, &missing);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), page.clone()));
            page
        })
    }
}

/// Listens where the settings say, and answers until told to stop. A place that is taken does not keep the agent from
/// its work: it is tried again, and `status` says so meanwhile.
pub async fn run(
    listen: String,
    group: String,
    pages: Arc<Endpoint>,
    trouble: Trouble,
    mut stop: watch::Receiver<bool>,
) {
    let say = |text: Option<String>| {
        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => trouble.insert(TOPIC.into(), text),
            None => trouble.remove(TOPIC),
        };
    };
    let mut warned = false;
    loop {
        let bound = bind(&listen, &group).await;
        match bound {
            Ok((listener, _guard)) => {
                say(None);
                tracing::info!(%listen, "metrics");
                return metrics::serve(listener, pages, Limits::default(), stop).await;
            }
            Err(why) => {
                let every = RETRY.as_secs();
                let text = format!("metrics wait: {listen}: {why}; tried again every {every} s");
                if !warned {
                    tracing::warn!("{text}");
                    warned = true;
                }
                say(Some(text));
            }
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(RETRY) => {}
        }
    }
}

async fn bind(listen: &str, group: &str) -> Result<(Listener, Option<control::SocketGuard>), String> {
    let Some(path) = listen.strip_prefix("unix:") else {
        let bound = TcpListener::bind(listen).await.map_err(|error| error.to_string())?;
        return Ok((Listener::Tcp(bound), None));
    };
    let (listener, guard) = control::bind(path.as_ref(), group).map_err(|error| error.why)?;
    let listener = UnixListener::from_std(listener).map_err(|error| error.to_string())?;
    Ok((Listener::Unix(listener), Some(guard)))
}
