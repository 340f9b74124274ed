use super::*;

const WINDOW: Duration = Duration::from_secs(15);
const PAGE: u64 = 7;

fn tracker() -> Arc<CatchUp> {
    Arc::new(CatchUp::new(WINDOW, Arc::new(Metrics::new().unwrap())))
}

/// A connection, and the outbox in which its pings wait.
struct Panel {
    tracked: TrackedConnection,
    from: Option<Delivered>,
    outbox: Arc<Outbox>,
}

impl Panel {
    async fn join(tracker: &Arc<CatchUp>, key: u64) -> Self {
        let outbox = Arc::new(Outbox::new(Arc::new(Metrics::new().unwrap())));
        let (tracked, from) = tracker.join(key, &outbox).await;
        Self { tracked, from, outbox }
    }

    /// Writes and confirms signal events up to `seq`.
    fn have(&mut self, seq: u64) {
        let receipt = PingReceipt::Signal(seq).encode();
        self.tracked.write(receipt);
        self.tracked.confirm(receipt);
    }

    /// Answers waiting pings for as long as it lives.
    async fn answer(&mut self) {
        loop {
            for ordered in self.outbox.due().await.unwrap().ordered {
                let crate::hub::Ordered::Ping(number) = ordered else { panic!("{ordered:?}") };
                assert!(self.tracked.expects(number));
                self.tracked.confirm(number);
            }
        }
    }
}

fn at(signals: u64) -> Delivered {
    Delivered { signals, messages: 0 }
}

#[test]
fn a_receipt_round_trips() {
    for receipt in
        [PingReceipt::Signal(0), PingReceipt::Signal(u64::MAX >> 2), PingReceipt::Message(5), PingReceipt::Probe(1)]
    {
        assert_eq!(PingReceipt::decode(receipt.encode()), Some(receipt));
    }
    assert_eq!(PingReceipt::decode(3), None);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_resumes_where_it_was_confirmed() {
    let tracker = tracker();
    let mut first = Panel::join(&tracker, PAGE).await;
    assert_eq!(first.from, None, "the first one");
    first.have(4);
    first.tracked.write(PingReceipt::Signal(5).encode());
    drop(first);
    assert_eq!(Panel::join(&tracker, PAGE + 1).await.from, None, "another page");
    let second = Panel::join(&tracker, PAGE).await;
    assert_eq!(second.from, Some(at(4)), "5 was on its way");
    drop(second);
    let third = Panel::join(&tracker, PAGE).await;
    assert_eq!(third.from, Some(at(4)), "the second one had nothing either");
}

#[tokio::test(start_paused = true)]
async fn an_answer_confirms_everything_before_it() {
    let tracker = tracker();
    let mut panel = Panel::join(&tracker, PAGE).await;
    for receipt in [PingReceipt::Signal(1), PingReceipt::Message(8), PingReceipt::Signal(2), PingReceipt::Signal(3)] {
        panel.tracked.write(receipt.encode());
    }
    panel.tracked.confirm(PingReceipt::Signal(9).encode());
    panel.tracked.confirm(PingReceipt::Signal(2).encode());
    assert!(!panel.tracked.expects(PingReceipt::Message(8).encode()));
    drop(panel);
    let expected = Some(Delivered { signals: 2, messages: 8 });
    assert_eq!(Panel::join(&tracker, PAGE).await.from, expected, "9 was not written");
}

#[tokio::test(start_paused = true)]
async fn a_position_is_kept_for_the_window() {
    let tracker = tracker();
    for (pause, expected) in [(WINDOW, Some(at(1))), (WINDOW + Duration::from_millis(1), None)] {
        let mut panel = Panel::join(&tracker, PAGE).await;
        panel.have(1);
        drop(panel);
        tokio::time::advance(pause).await;
        let mut next = Panel::join(&tracker, PAGE).await;
        assert_eq!(next.from, expected);
        next.tracked.leave();
    }
    assert!(tracker.state.lock().connections.is_empty() && tracker.state.lock().broken.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_panel_leaves_no_position() {
    let tracker = tracker();
    let mut panel = Panel::join(&tracker, PAGE).await;
    panel.have(3);
    panel.tracked.leave();
    drop(panel);
    assert_eq!(Panel::join(&tracker, PAGE).await.from, None);
}

#[tokio::test(start_paused = true)]
async fn each_panel_of_a_page_takes_a_position() {
    let tracker = tracker();
    let mut panels = Vec::new();
    for seq in [6, 6, 5] {
        let outbox = Arc::new(Outbox::new(Arc::new(Metrics::new().unwrap())));
        let (joined, ()) = tokio::join!(tracker.join(PAGE, &outbox), async {
            for panel in &mut panels {
                tokio::time::timeout(Duration::from_millis(1), Panel::answer(panel)).await.ok();
            }
        });
        let mut panel = Panel { tracked: joined.0, from: joined.1, outbox };
        assert_eq!(panel.from, None, "the others are there");
        panel.have(seq);
        panels.push(panel);
    }
    drop(panels);
    let mut back = Vec::new();
    for _ in 0..3 {
        let mut panel = Panel::join(&tracker, PAGE).await;
        back.push(panel.from);
        panel.tracked.leave();
    }
    assert_eq!(back, [Some(at(5)), Some(at(5)), Some(at(5))], "they cannot be told apart: nothing is lost");
    assert_eq!(Panel::join(&tracker, PAGE).await.from, None, "a fourth one is new");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_resumed() {
    let tracker = tracker();
    let mut ghost = Panel::join(&tracker, PAGE).await;
    ghost.have(2);
    let began = Instant::now();
    let back = Panel::join(&tracker, PAGE).await;
    assert_eq!((back.from, began.elapsed()), (Some(at(2)), PROBE_TIMEOUT));
    drop(ghost);
    drop(back);
    let mut again = Panel::join(&tracker, PAGE).await;
    assert_eq!(again.from, Some(at(2)), "the ghost has left nothing");
    again.tracked.leave();
    drop(again);
    assert_eq!(Panel::join(&tracker, PAGE).await.from, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_keeps_its_position() {
    let tracker = tracker();
    let mut panel = Panel::join(&tracker, PAGE).await;
    panel.have(2);
    let answering = tokio::time::timeout(Duration::from_millis(20), Panel::answer(&mut panel));
    let (new, _) = tokio::join!(Panel::join(&tracker, PAGE), answering);
    assert_eq!(new.from, None);
    let mut new = new;
    new.tracked.leave();
    drop(new);
    drop(panel);
    assert_eq!(Panel::join(&tracker, PAGE).await.from, Some(at(2)));
}

#[tokio::test(start_paused = true)]
async fn many_clients_behind_one_address_are_not_probed() {
    let tracker = tracker();
    let mut one = Panel::join(&tracker, PAGE).await;
    {
        let mut state = tracker.state.lock();
        let connections = state.connections.entry(PAGE).or_default();
        for id in 0..MAX_PROBED as u64 {
            let known = ConnectionRecord::open(Delivered::default(), &one.outbox);
            connections.insert(1_000 + id, known);
        }
    }
    let began = Instant::now();
    drop(Panel::join(&tracker, PAGE).await);
    assert_eq!(began.elapsed(), Duration::ZERO);
    one.tracked.leave();
}

#[tokio::test(start_paused = true)]
async fn kept_positions_are_bounded() {
    let tracker = tracker();
    for key in 0..=MAX_WAITING as u64 {
        let mut panel = Panel::join(&tracker, key).await;
        panel.have(1);
    }
    let mut oldest = Panel::join(&tracker, 0).await;
    assert_eq!(oldest.from, None, "it is dropped");
    oldest.tracked.leave();
    drop(oldest);
    assert_eq!(tracker.metrics.dropped_total.with_label_values(&["catch_up_positions"]).get(), 1);
    assert_eq!(Panel::join(&tracker, 1).await.from, Some(at(1)));
}
