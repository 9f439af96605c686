//! A byte stream that is cut, reordered, repeated, overlapped and lost in parts equals a naive model of it.

use proptest::prelude::*;
use shadowtap::exchange::Close;
use shadowtap::flow::{Chunk, FlowTable, GapReason, Side};
use shadowtap::invariants::ChunkInvariants;

use crate::packets::{ACK, CLIENT, FIN, Packet, SERVER, SYN};

/// What happens to one piece of a stream.
#[derive(Clone, Debug)]
struct Piece {
    len: usize,
    /// Bytes before it that the sender sends once more.
    back: usize,
    /// How many copies of it were captured.
    copies: usize,
    /// How many places later it is captured than it was sent.
    late: [usize; 2],
    /// Bytes that the snap length cut off.
    cut: usize,
}

/// What one side says before the other one goes on.
#[derive(Clone, Debug)]
struct Turn {
    side: Side,
    pieces: Vec<Piece>,
}

/// A conversation as it was captured, and the two streams as they were sent.
#[derive(Debug)]
struct Captured {
    packets: Vec<Packet>,
    streams: [Vec<u8>; 2],
}

/// Both streams, in parts, as the table told them.
#[derive(Debug, Default)]
struct Told {
    streams: [Stream; 2],
    closed: Option<Close>,
}

#[derive(Debug, Default)]
struct Stream {
    /// For each byte so far whether it was told or lies in a gap.
    bytes: Vec<Option<u8>>,
    /// Offset of the first byte.
    origin: Option<u64>,
    ended: bool,
}

/// The byte at a place of a stream: no two stretches are alike, and none looks like the beginning of a message.
fn byte(side: Side, place: usize) -> u8 {
    let mixed = (place as u64 + 1).wrapping_mul(if side == CLIENT { 0x9e37_79b9 } else { 0x85eb_ca6b });
    (mixed >> 8).to_le_bytes()[0] | 0x80
}

fn capture(turns: &[Turn], numbers: [u32; 2]) -> Captured {
    let mut streams = [Vec::new(), Vec::new()];
    let first = |side: Side| side.of(&numbers).wrapping_add(1);
    let mut sent: Vec<(usize, Packet)> = Vec::new();
    for turn in turns {
        let side = turn.side;
        let ack = first(side.other()).wrapping_add(u32::try_from(side.other().of(&streams).len()).unwrap());
        for piece in &turn.pieces {
            let stream = side.of_mut(&mut streams);
            let from = stream.len() - piece.back.min(stream.len());
            let to = stream.len() + piece.len;
            stream.extend((stream.len()..to).map(|place| byte(side, place)));
            let captured = (to - from).saturating_sub(piece.cut);
            let seq = first(side).wrapping_add(u32::try_from(from).unwrap());
            let mut packet = Packet::new(side, seq, ack, ACK, &stream[from..from + captured]);
            packet.missing = u32::try_from(to - from - captured).unwrap();
            let place = sent.len();
            sent.extend((0..piece.copies).map(|copy| (place + piece.late[copy], packet.clone())));
        }
    }
    sent.sort_by_key(|(place, _)| *place);
    let ends = Side::BOTH.map(|side| first(side).wrapping_add(u32::try_from(side.of(&streams).len()).unwrap()));
    let (client, server) = (numbers[0], numbers[1]);
    let mut packets = vec![
        Packet::new(CLIENT, client, 0, SYN, []),
        Packet::new(SERVER, server, client.wrapping_add(1), SYN.with(ACK), []),
        Packet::new(CLIENT, client.wrapping_add(1), server.wrapping_add(1), ACK, []),
    ];
    packets.extend(sent.into_iter().map(|(_, packet)| packet));
    packets.push(Packet::new(CLIENT, ends[0], ends[1], FIN.with(ACK), []));
    packets.push(Packet::new(SERVER, ends[1], ends[0].wrapping_add(1), FIN.with(ACK), []));
    packets.push(Packet::new(CLIENT, ends[0].wrapping_add(1), ends[1].wrapping_add(1), ACK, []));
    Captured { packets, streams }
}

fn tell(packets: &[Packet], in_order: bool) -> Told {
    let mut flows = FlowTable::new(&[]);
    let mut laws = ChunkInvariants::default();
    let mut told = Told::default();
    let mut see = |chunk: Chunk<'_>| {
        laws.see(&chunk);
        told.see(&chunk, in_order);
    };
    for (place, packet) in packets.iter().enumerate() {
        // All of it well within the time that a hole is kept open.
        flows.take(&packet.segment(5000, 1_000_000 + place as u64 * 500), &mut see);
    }
    flows.finish(&mut see);
    laws.finish();
    told
}

impl Told {
    fn see(&mut self, chunk: &Chunk<'_>, in_order: bool) {
        match *chunk {
            Chunk::Data { side, offset, received, bytes, .. } => {
                let other = side.other().of(&self.streams);
                if let Some(origin) = other.origin.filter(|_| in_order) {
                    // One more is SYN or FIN.
                    assert!(origin + other.bytes.len() as u64 + 1 >= received, "an answer before what it answers");
                }
                let stream = side.of_mut(&mut self.streams);
                stream.origin.get_or_insert(offset - stream.bytes.len() as u64);
                stream.bytes.extend(bytes.iter().copied().map(Some));
            }
            Chunk::Gap { side, len, why, .. } => {
                assert_ne!(why, GapReason::Joined, "the handshake was captured");
                side.of_mut(&mut self.streams).bytes.extend((0..len).map(|_| None));
            }
            Chunk::End { side, .. } => side.of_mut(&mut self.streams).ended = true,
            Chunk::Opened { .. } => {}
            Chunk::Closed { how, .. } => self.closed = Some(how),
        }
    }
}

/// What the model knows: for each byte whether any packet brought it.
fn model(captured: &Captured, packets: &[Packet], numbers: [u32; 2]) -> [Vec<Option<u8>>; 2] {
    let mut brought = captured.streams.clone().map(|stream| vec![None; stream.len()]);
    for packet in packets {
        let first = packet.side.of(&numbers).wrapping_add(1);
        let from = packet.seq.wrapping_sub(first) as usize;
        for (place, byte) in packet.payload.iter().enumerate() {
            packet.side.of_mut(&mut brought)[from + place] = Some(*byte);
        }
    }
    brought
}

fn piece() -> impl Strategy<Value = Piece> {
    let copies = prop_oneof![6 => Just(1), 1 => Just(2)];
    let back = prop_oneof![4 => Just(0), 1 => 1..400usize];
    let late = prop_oneof![3 => Just(0), 1 => 0..8usize];
    (1..300usize, back, copies, [late.clone(), late]).prop_map(|(len, back, copies, late)| Piece {
        len,
        back,
        copies,
        late,
        cut: 0,
    })
}

fn turns(piece: impl Strategy<Value = Piece> + Clone) -> impl Strategy<Value = Vec<Turn>> {
    let side = prop_oneof![Just(CLIENT), Just(SERVER)];
    let turn = (side, prop::collection::vec(piece, 1..8)).prop_map(|(side, pieces)| Turn { side, pieces });
    prop::collection::vec(turn, 1..8)
}

/// Sequence numbers anywhere, the last ones before the wrap most of all.
fn numbers() -> impl Strategy<Value = [u32; 2]> {
    let number = prop_oneof![any::<u32>(), (0..2000u32).prop_map(|before| u32::MAX - before)];
    [number.clone(), number]
}

proptest! {
    #![proptest_config(crate::cases(400))]

    #[test]
    fn a_stream_that_was_all_captured_is_told_whole(turns in turns(piece().boxed()), numbers in numbers()) {
        let captured = capture(&turns, numbers);
        let told = tell(&captured.packets, false);
        for side in Side::BOTH {
            let whole: Vec<Option<u8>> = side.of(&captured.streams).iter().copied().map(Some).collect();
            prop_assert!(side.of(&told.streams).bytes == whole);
            prop_assert!(side.of(&told.streams).ended);
        }
        prop_assert_eq!(told.closed, Some(Close::Fin));
    }

    #[test]
    fn an_answer_is_never_told_before_what_it_answers(
        turns in turns(piece().prop_map(|piece| Piece { back: 0, copies: 1, ..piece }).boxed()),
        numbers in numbers(),
    ) {
        tell(&capture(&turns, numbers).packets, true);
    }

    #[test]
    fn of_a_stream_with_losses_every_byte_is_told_that_was_captured_and_every_other_one_lies_in_a_gap(
        turns in turns(piece().boxed()),
        numbers in numbers(),
        lost in prop::collection::vec(0..10u8, 400),
    ) {
        let captured = capture(&turns, numbers);
        // The handshake stays: where a stream begins in its middle, what came before cannot be known.
        let kept = captured.packets.iter().zip(&lost).enumerate().filter(|(place, (_, lost))| *place < 3 || **lost > 1);
        let packets: Vec<Packet> = kept.map(|(_, (packet, _))| packet.clone()).collect();
        let told = tell(&packets, false);
        let model = model(&captured, &packets, numbers);
        for side in Side::BOTH {
            let (told, model) = (&side.of(&told.streams).bytes, side.of(&model));
            // What was lost at the end is told where an acknowledgement or FIN gives it away; it may count FIN.
            let known = told.len().min(model.len());
            prop_assert!(told.len() <= model.len() + 1);
            prop_assert!(told[..known] == model[..known]);
            prop_assert!(told[known..].iter().chain(&model[known..]).all(Option::is_none));
        }
    }

    #[test]
    fn what_the_snap_length_cut_off_is_a_gap_just_there(
        turns in turns((piece(), 0..200usize).prop_map(|(piece, cut)| Piece { cut, back: 0, copies: 1, ..piece }).boxed()),
        numbers in numbers(),
    ) {
        let captured = capture(&turns, numbers);
        let told = tell(&captured.packets, false);
        let model = model(&captured, &captured.packets, numbers);
        for side in Side::BOTH {
            prop_assert!(&side.of(&told.streams).bytes == side.of(&model));
        }
        prop_assert_eq!(told.closed, Some(Close::Fin));
    }
}
