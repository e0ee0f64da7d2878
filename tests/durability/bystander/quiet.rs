//! The quiet client and its provider, on a thread of their own: what the tests do for the trouble is not in their way either.

use crate::support::{message, process::PATIENCE, wire::Kept};
use provider::Provider;
use std::time::Duration;
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

/// The model that only the quiet client asks for.
pub(super) const QUIET_MODEL: &str = "claude-haiku-4-5";

/// The thread's client.
#[derive(Debug)]
pub(super) struct Quiet {
    pub(super) provider: String,
    orders: mpsc::UnboundedSender<Order>,
}

/// Requests at a fixed rate, and where to say how long each took.
#[derive(Debug)]
struct Order {
    url: String,
    count: usize,
    period: Duration,
    took: oneshot::Sender<Vec<Duration>>,
}

impl Quiet {
    /// Starts the thread; it ends with this value.
    pub(super) fn start() -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
        std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let provider = Provider::start(provider::Options::default()).await.unwrap();
                tell.send(provider.url()).unwrap();
                while let Some(order) = ordered.recv().await {
                    let took = run(&order).await;
                    order.took.send(took).unwrap();
                    provider.reset();
                }
            });
        });
        Self {
            provider: told.recv().unwrap(),
            orders,
        }
    }

    /// How long each of so many requests took from the time that it was due.
    pub(super) async fn ask(&self, url: &str, count: usize, period: Duration) -> Vec<Duration> {
        let (took, answer) = oneshot::channel();
        let url = url.to_owned();
        let order = Order {
            url,
            count,
            period,
            took,
        };
        self.orders.send(order).unwrap();
        answer
            .await
            .expect("every request of the quiet client is answered")
    }
}

async fn run(order: &Order) -> Vec<Duration> {
    let mut kept = Kept::open(&order.url).await;
    let mut due = interval(order.period);
    // One that is late makes those after it late as well: they were due.
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut took = Vec::with_capacity(order.count);
    for n in 0..order.count {
        let at: Instant = due.tick().await;
        let body = message(QUIET_MODEL, &format!("quiet question {n}"), n % 2 == 0);
        let answer = tokio::time::timeout(PATIENCE, kept.post("/v1/messages", body)).await;
        let answer = answer
            .expect("an answer while others have trouble")
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        took.push(at.elapsed());
    }
    took
}
