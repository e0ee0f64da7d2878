//! Pages that move by themselves: what one event is, whose it is, and how many may be open.

use super::{
    house::{BOBS, bob, bobs_request, carol, dora, id, record},
    *,
};
use crate::record::{End, Record, SessionId, Usage};

fn live(query: &str) -> String {
    format!("{}{query}", Route::Live.path())
}

/// The fields of the one event in an answer.
fn fields(rsp: &Response<Bytes>) -> Vec<(&str, &str)> {
    let event = text(rsp).strip_suffix("\n\n").expect("an event ends");
    let lines = event.split('\n');
    lines
        .map(|line| line.split_once(": ").expect("a field"))
        .collect()
}

#[tokio::test]
async fn an_event_is_one_part_of_the_page_as_it_is_now() {
    let house = House::filled().await;
    let mut running = Record {
        title: Some("two\nlines\r\n\r\nevent: part\ndata: forged".into()),
        end: End::InFlight,
        ..record(&bob(), id(1, 9), 0x77)
    };
    for output in [10_u64, 2_345_000] {
        running.usage = Usage {
            output,
            ..Usage::default()
        };
        house.writer.start(&running);
        house.writer.flush().await.unwrap();
        for query in ["", "?session=ses_00000000000000000000000000000077"] {
            let rsp = house.ask(&bob(), Role::User, &live(query)).await;
            assert_eq!(rsp.headers()["content-type"], "text/event-stream");
            let [("retry", _), ("event", "part"), ("data", part)] = fields(&rsp)[..] else {
                panic!("{}", text(&rsp));
            };
            assert!(part.contains("active"), "{part}");
            assert_eq!(part.contains("2.34M"), output > 1_000, "it grows: {part}");
        }
    }
}

#[tokio::test]
async fn events_are_for_those_whose_they_are() {
    let house = House::filled().await;
    let bobs = live(&format!("?session={BOBS}"));
    let nothing = live(&format!("?session={}", SessionId(7)));
    for (caller, role, path, status) in [
        (bob(), Role::User, &bobs, 200),
        (dora(), Role::Admin, &bobs, 200),
        (carol(), Role::User, &bobs, 404),
        (carol(), Role::User, &nothing, 404),
        (carol(), Role::User, &live("?user=bob%40example.com"), 404),
        (dora(), Role::Admin, &live("?user=bob%40example.com"), 200),
        (dora(), Role::Admin, &live("?user=nobody"), 404),
        (dora(), Role::Admin, &live("?session=nonsense"), 404),
    ] {
        let rsp = house.ask(&caller, role, path).await;
        assert_eq!(rsp.status(), status, "{} asks {path}", caller.login);
    }
}

#[test]
fn so_many_pages_are_followed_and_no_more() {
    let house = House::empty();
    let get = |path: &str| http::Request::get(path).body(()).unwrap().into_parts().0;
    let asks = get(&live("?session=x"));
    let mut open: Vec<_> = (0..256).map(|_| house.dashboard.follow(&asks)).collect();
    assert!(open.iter().all(Option::is_some));
    assert!(house.dashboard.follow(&asks).is_none());
    open.pop();
    assert!(
        house.dashboard.follow(&asks).is_some(),
        "who leaves makes room"
    );
    let other = get(&Route::Request(bobs_request()).path());
    assert!(house.dashboard.follow(&other).is_none());
    let head = http::Request::head(live(""))
        .body(())
        .unwrap()
        .into_parts()
        .0;
    assert!(house.dashboard.follow(&head).is_none());
}
