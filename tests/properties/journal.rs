//! What goes into a recording comes out of it, but for what the format says that it cannot hold.

use proptest::prelude::*;
use shadowtap::exchange::{
    Body, ConnectionId, Damage, Event, ExchangeId, Framing, Head, Incomplete, Request, RequestState, Response,
    Timestamp,
};
use shadowtap::recording::jsonl_write::JsonLine;
use shadowtap::recording::{
    EventSource as _, ExchangeJoin, JoinedExchange, OutputPath, Recorder, RecordingSource, Rotation,
};

/// An exchange to record; times in nanoseconds after the one before.
#[derive(Clone, Debug)]
struct Recipe {
    connection: u64,
    head: bool,
    content: Vec<u8>,
    chunked: bool,
    state: RequestState,
    wait: u64,
    took: u64,
    answer: Option<(u16, Vec<u8>, Option<Damage>)>,
    /// How many later exchanges are asked before this one is answered.
    late: usize,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let state = prop_oneof![
        8 => Just(RequestState::Whole),
        1 => Just(RequestState::Incomplete(Incomplete::Gap)),
        1 => Just(RequestState::Incomplete(Incomplete::EndOfCapture)),
    ];
    let content = || prop_oneof![3 => Just(Vec::new()), 2 => proptest::collection::vec(any::<u8>(), 0..200)];
    let damage = prop_oneof![6 => Just(None), 1 => Just(Some(Damage::Gap)), 1 => Just(Some(Damage::Closed))];
    let answer = proptest::option::of((prop_oneof![Just(200u16), Just(404), Just(503)], content(), damage));
    (1u64..4, any::<bool>(), content(), any::<bool>(), state, 0u64..2_000_000_000, 0u64..5_000_000, answer, 0usize..4)
        .prop_map(|(connection, head, content, chunked, state, wait, took, answer, late)| Recipe {
            connection,
            head: head && content.is_empty(),
            content,
            chunked,
            state,
            wait,
            took,
            answer,
            late,
        })
}

fn body(content: &[u8], framing: Framing, whole: bool) -> Body {
    use sha2::Digest as _;
    let wire = match framing {
        Framing::Chunked if content.is_empty() => b"0\r\n\r\n".to_vec(),
        Framing::Chunked => [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n0\r\n\r\n"].concat(),
        _ => content.to_vec(),
    };
    let sha256 = (whole && !content.is_empty()).then(|| sha2::Sha256::digest(content).into());
    Body { framing, len: content.len() as u64, sha256, wire: (framing != Framing::None).then(|| wire.into()) }
}

fn request(recipe: &Recipe, id: ExchangeId, at: u64) -> Request {
    let whole = recipe.state == RequestState::Whole;
    let length = recipe.content.len() as u64 + u64::from(!whole);
    let framing = match (recipe.chunked && whole, length) {
        (true, _) => Framing::Chunked,
        (false, 0) => Framing::None,
        (false, length) => Framing::Length(length),
    };
    let line = match framing {
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::Length(length) => format!("Content-Length: {length}\r\n"),
        _ => String::new(),
    };
    let method = if recipe.head { "HEAD" } else { "POST" };
    Request {
        id,
        client: format!("192.0.2.1:{}", 5000 + recipe.connection).parse().unwrap(),
        server: "198.51.100.1:80".parse().unwrap(),
        head: Head::new(format!("{method} /{id} HTTP/1.1\r\nHost: h\r\n{line}\r\n").into_bytes()),
        body: body(&recipe.content, framing, whole),
        first_byte: Timestamp::from_nanos(at),
        last_byte: Timestamp::from_nanos(at + recipe.took),
        state: recipe.state,
    }
}

fn response(recipe: &Recipe, (status, content, damage): &(u16, Vec<u8>, Option<Damage>), at: u64) -> Response {
    let claimed = content.len() as u64 + u64::from(damage.is_some());
    let framing = match claimed {
        _ if recipe.head => Framing::None,
        0 => Framing::None,
        claimed => Framing::Length(claimed),
    };
    let content = if recipe.head { &[][..] } else { content };
    let damage = damage.filter(|_| !recipe.head);
    Response {
        status: *status,
        head: Head::new(format!("HTTP/1.1 {status} X\r\nContent-Length: {claimed}\r\n\r\n").into_bytes()),
        body: body(content, framing, damage.is_none()),
        first_byte: Timestamp::from_nanos(at),
        last_byte: Timestamp::from_nanos(at + 1000),
        damage,
        opaque: false,
        untimed: false,
        left: false,
    }
}

/// The events of these exchanges, in the order of their times.
fn events(recipes: &[Recipe]) -> Vec<Event> {
    let mut now = 1_795_291_200_000_000_000;
    let mut counts = [0u32; 4];
    let (mut events, mut open): (Vec<Event>, Vec<(usize, Event)>) = (Vec::new(), Vec::new());
    for (number, recipe) in recipes.iter().enumerate() {
        let count = &mut counts[usize::try_from(recipe.connection).unwrap()];
        *count += 1;
        let id = ExchangeId::new(ConnectionId(recipe.connection), *count);
        now += recipe.wait;
        let asked = request(recipe, id, now);
        now += recipe.took + 1;
        events.push(Event::Request(Box::new(asked)));
        open.push((number + recipe.late, Event::Damaged { of: id, why: Damage::NoResponse }));
        let due = |(until, _): &mut (usize, Event)| *until <= number;
        for (_, end) in open.extract_if(.., due).collect::<Vec<_>>() {
            events.push(ended(recipes, &events, end, &mut now));
        }
    }
    for (_, end) in open {
        let end = ended(recipes, &events, end, &mut now);
        events.push(end);
    }
    events
}

/// The end of an exchange at this time.
fn ended(recipes: &[Recipe], events: &[Event], end: Event, now: &mut u64) -> Event {
    let Event::Damaged { of, .. } = end else { return end };
    let asked =
        events.iter().filter_map(|event| if let Event::Request(request) = event { Some(request.id) } else { None });
    let recipe = &recipes[asked.into_iter().position(|id| id == of).unwrap()];
    match &recipe.answer {
        Some(answer) => {
            *now += 2000;
            Event::Response { of, response: Box::new(response(recipe, answer, *now - 1500)) }
        }
        None => end,
    }
}

fn recorded(events: &[Event], name: &str) -> Vec<JoinedExchange> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut recorder = Recorder::new(OutputPath::new(&path).unwrap(), Rotation::default());
    for event in events {
        recorder.event(event.clone());
    }
    let result = recorder.finish();
    assert_eq!((result.lost_records, recorder.take_notices()), (0, Vec::new()));
    if result.files == 0 {
        return Vec::new();
    }
    let mut source = RecordingSource::open(&path, &shadowtap::capture::Halt::default()).unwrap();
    let mut joined = Vec::new();
    let mut exchanges = ExchangeJoin::default();
    while let Some(event) = source.next() {
        exchanges.take(event, |exchange| joined.push(exchange));
    }
    exchanges.finish(|exchange| joined.push(exchange));
    assert_eq!(source.warnings(), Vec::<String>::new());
    joined
}

fn joined(events: &[Event]) -> Vec<JoinedExchange> {
    let mut joined = Vec::new();
    let mut exchanges = ExchangeJoin::default();
    for event in events {
        exchanges.take(event.clone(), |exchange| joined.push(exchange));
    }
    joined
}

/// Everything of an exchange but its id and addresses.
fn held(exchange: &JoinedExchange) -> String {
    let body = |body: &Body| {
        format!("{:?} {:?}", body.framing, (body.len, body.sha256, body.wire.clone().unwrap_or_default()))
    };
    let request = &exchange.request;
    let asked = format!("{:?} {} {} {}", request.head, body(&request.body), request.first_byte, request.last_byte);
    let answered = exchange.response.as_ref().map(|response| {
        let (first, last) = (response.first_byte, response.last_byte);
        format!("{:?} {} {first} {last} {:?}", response.head, body(&response.body), response.damage)
    });
    format!("{asked} {:?} -> {answered:?}", request.state)
}

/// As `.gor` holds it.
fn as_gor(mut exchange: JoinedExchange) -> JoinedExchange {
    if let Ok(response) = &mut exchange.response
        && response.damage.is_some()
    {
        response.damage = Some(Damage::Cut);
        response.body = Body { len: 0, sha256: None, wire: None, ..response.body };
    }
    exchange
}

proptest! {
    #![proptest_config(crate::cases(96))]

    #[test]
    fn lines_give_back_every_exchange(recipes in proptest::collection::vec(recipe(), 1..24), packed in 0usize..3) {
        let events = events(&recipes);
        let name = ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"][packed];
        let (expected, found) = (joined(&events), recorded(&events, name));
        let lines = |all: &[JoinedExchange]| -> Vec<String> {
            all.iter().map(|one| JsonLine::new(one, true).to_string()).collect()
        };
        prop_assert_eq!(lines(&found), lines(&expected));
        prop_assert_eq!(found.iter().map(held).collect::<Vec<_>>(), expected.iter().map(held).collect::<Vec<_>>());
    }

    #[test]
    fn gor_gives_back_every_whole_request_and_its_response(
        recipes in proptest::collection::vec(recipe(), 1..24),
        packed in 0usize..3,
    ) {
        let events = events(&recipes);
        let name = ["a.gor", "a.gor.gz", "a.gor.zst"][packed];
        let whole = joined(&events).into_iter().filter(|one| one.request.state == RequestState::Whole).map(as_gor);
        let mut expected: Vec<_> = whole.map(|one| held(&one)).collect();
        let mut found: Vec<_> = recorded(&events, name).iter().map(held).collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}
