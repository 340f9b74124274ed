use tokio::time::sleep;

use super::*;
use crate::domain::UserNote;
use crate::pipeline::Handle;

const HOME: Browser = Browser { agent: Some(1), address: None, in_path: false };

fn pages_of(notes: &[UserNote]) -> Arc<Pages> {
    let (handle, _requests) = Handle::channel();
    let marks = Arc::new(DeliveryTracker::new(Some("bots"), handle, notes));
    Arc::new(Pages::new(marks, Arc::new(Metrics::new().unwrap())))
}

fn pages() -> Arc<Pages> {
    pages_of(&[])
}

/// Connects while the last message is `last`. Returns where the page resumes, and its connection.
async fn connect_from(pages: &Arc<Pages>, browser: Browser, last: u64) -> (Option<u64>, PageConnection) {
    let arrival = pages.arrive(&"ann".into(), browser, |after| after < last).await;
    (arrival.after(), arrival.open(last))
}

async fn connect(pages: &Arc<Pages>, last: u64) -> (Option<u64>, PageConnection) {
    connect_from(pages, HOME, last).await
}

fn deliver(page: &mut PageConnection, message: u64) {
    page.write(message);
    page.confirm(message);
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_page_resumes_after_its_last_message() {
    let pages = pages();
    let (after, mut page) = connect(&pages, 3).await;
    assert_eq!(after, None, "the first connection of a user");
    deliver(&mut page, 5);
    page.write(6);
    drop(page);
    assert_eq!(pages.metrics.pages_away.get(), 1);
    let (after, mut page) = connect(&pages, 9).await;
    assert_eq!((after, pages.metrics.pages_away.get()), (Some(5), 0), "6 was on its way");
    page.confirm(u64::MAX);
    drop(page);
    assert_eq!(connect(&pages, 9).await.0, Some(5), "what was not written cannot be confirmed");
}

#[tokio::test(start_paused = true)]
async fn each_page_resumes_from_its_own_message() {
    let pages = pages();
    let (_, mut one) = connect(&pages, 0).await;
    let (_, mut two) = connect(&pages, 0).await;
    deliver(&mut one, 1);
    deliver(&mut two, 1);
    drop(one);
    deliver(&mut two, 2);
    // The other page has confirmed everything.
    let (after, mut one) = connect(&pages, 2).await;
    assert_eq!(after, Some(1));
    assert_eq!(connect(&pages, 2).await.0, None, "a third page is new");
    deliver(&mut one, 2);
    drop((one, two));
    let (after, one) = connect(&pages, 4).await;
    let (other, two) = connect(&pages, 4).await;
    assert_eq!((after, other), (Some(2), Some(2)), "cut together: both have the same rest");
    drop((one, two));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_left_is_not_continued() {
    let pages = pages();
    let (_, mut page) = connect(&pages, 1).await;
    page.leave();
    drop(page);
    assert_eq!((connect(&pages, 5).await.0, pages.metrics.pages_away.get()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_just_loaded_is_new() {
    let pages = pages();
    drop(connect(&pages, 1).await);
    sleep(LOAD_WAIT * 2).await;
    pages.loading("ann", &HOME);
    let (after, page) = connect(&pages, 5).await;
    assert_eq!(after, None);
    drop(page);
    sleep(LOAD_WAIT * 2).await;
    // The request and the connection leave the page at the same moment.
    let user: Arc<str> = "ann".into();
    let (arrival, ()) = tokio::join!(pages.arrive(&user, HOME, |_| true), async {
        sleep(LOAD_WAIT / 2).await;
        pages.loading("ann", &HOME);
    });
    assert_eq!(arrival.after(), None);
    let page = arrival.open(6);
    // The request arrived after the connection, so it does not mark the next connection.
    pages.loading("ann", &HOME);
    drop(page);
    sleep(LOAD_WAIT).await;
    assert_eq!(connect(&pages, 9).await.0, Some(6));
    pages.loading("ann", &HOME);
    sleep(LOAD_WINDOW * 2).await;
    assert!(connect(&pages, 9).await.0.is_some(), "it never connected");
    pages.loading("bob", &HOME);
    assert!(!pages.state.lock().users.contains_key("bob"), "nothing is kept of users without a page");
}

#[tokio::test(start_paused = true)]
async fn a_page_with_a_dead_socket_is_continued() {
    let pages = pages();
    let (_, mut dead) = connect(&pages, 0).await;
    deliver(&mut dead, 1);
    dead.write(2);
    let began = Instant::now();
    let (after, mut page) = connect(&pages, 2).await;
    assert_eq!((after, began.elapsed()), (Some(1), SETTLE_TIMEOUT + LOAD_WAIT));
    deliver(&mut page, 2);
    drop(dead);
    assert_eq!(pages.metrics.pages_away.get(), 0, "it was replaced");
    drop(page);
    assert_eq!(connect(&pages, 3).await.0, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_pending_confirmations() {
    let pages = pages();
    let (_, mut page) = connect(&pages, 0).await;
    page.write(1);
    let began = Instant::now();
    let ((after, _second), ()) = tokio::join!(connect(&pages, 1), async {
        sleep(SETTLE_TIMEOUT / 2).await;
        page.confirm(1);
    });
    assert_eq!((after, began.elapsed()), (None, SETTLE_TIMEOUT / 2));
}

#[tokio::test(start_paused = true)]
async fn another_browser_does_not_continue_a_page() {
    let pages = pages();
    drop(connect(&pages, 1).await);
    let unnamed = Browser { agent: None, ..HOME };
    let (after, page) = connect_from(&pages, unnamed, 1).await;
    assert_eq!(after, Some(1), "it may be any");
    drop(page);
    drop(connect(&pages, 1).await);
    let phone = Browser { agent: Some(2), ..HOME };
    let first_release = Browser { in_path: true, ..HOME };
    assert_eq!(connect_from(&pages, phone, 5).await.0, None);
    assert_eq!(connect_from(&pages, first_release, 5).await.0, None);
    // The address only decides between several pages.
    let elsewhere = Browser { address: Some([192, 0, 2, 1].into()), ..HOME };
    assert_eq!(connect_from(&pages, elsewhere, 5).await.0, Some(1));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_every_page_resumes() {
    let note = UserNote { user: "bots\u{1f}ann".into(), not_before: None, seen: Some(7) };
    let pages = pages_of(&[note]);
    let (one, first) = connect(&pages, 9).await;
    sleep(RESTART_WINDOW / 2).await;
    let (other, second) = connect(&pages, 9).await;
    assert_eq!((one, other), (Some(7), Some(7)));
    sleep(RESTART_WINDOW).await;
    assert_eq!(connect(&pages, 9).await.0, None, "a page that was opened since");
    drop((first, second));
    assert!(pages.state.lock().restored.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_log_keeps_what_reached_a_user() {
    let pages = pages();
    let (_, mut page) = connect(&pages, 4).await;
    assert_eq!(pages.marks.reached("ann"), 4, "what came before is not due");
    deliver(&mut page, 6);
    assert_eq!(pages.marks.reached("ann"), 6);
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_away_are_bounded_and_counted() {
    let pages = pages();
    let mut open = Vec::new();
    for last in 0..MAX_AWAY_PER_USER as u64 + 3 {
        open.push(connect(&pages, last).await.1);
    }
    open.into_iter().for_each(drop);
    let dropped = pages.metrics.dropped_total.with_label_values(&["pages_away"]);
    assert_eq!((pages.metrics.pages_away.get(), dropped.get()), (MAX_AWAY_PER_USER as i64, 3));
    // The pages that left last are continued; afterwards none is left.
    let mut back = Vec::new();
    for _ in 0..MAX_AWAY_PER_USER {
        let (after, page) = connect(&pages, 100).await;
        assert!(after.is_some_and(|after| after >= 3), "{after:?}");
        back.push(page);
    }
    let (after, page) = connect(&pages, 100).await;
    assert_eq!(after, None);
    back.push(page);
    back.iter_mut().for_each(PageConnection::leave);
    drop(back);
    assert!(pages.state.lock().away.is_empty());
}
