use super::*;

const AGENT: &str = "192.0.2.1:1000";
const TECHNICIAN: &str = "[2001:db8::2]:2000";
const STRANGER: &str = "198.51.100.9:3000";

fn at(secs: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(secs))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn channel(slot: u32, generation: u32) -> ChannelId {
    ChannelId::new(slot, generation).unwrap()
}

fn table() -> SlotTable {
    SlotTable::new(4, NonZeroU64::new(16_000_000).unwrap())
}

fn route(table: &SlotTable, from: &str, channel: ChannelId, secs: u64) -> Option<SocketAddr> {
    match table.route(address(from), DataHeader { channel }, 3_000, 3, at(secs)) {
        Route::To(to) => Some(to),
        Route::Nowhere | Route::Unbound => None,
    }
}

#[test]
fn each_side_reaches_the_other() {
    let (table, channel) = (table(), channel(2, 77));
    table.open(channel, address(AGENT), address(TECHNICIAN));

    assert_eq!(route(&table, AGENT, channel, 5), Some(address(TECHNICIAN)));
    assert_eq!(route(&table, TECHNICIAN, channel, 6), Some(address(AGENT)));
    // A socket that takes both families shows the same address in the other form.
    assert_eq!(route(&table, "[::ffff:192.0.2.1]:1000", channel, 7), Some(address(TECHNICIAN)));

    assert_eq!(table.last_seen(channel), LastSeen { agent: Some(at(7)), technician: Some(at(6)) });
    let counts = table.close(channel);
    assert_eq!(counts.agent, LegCounts { packets: 6, bytes: 6_000, rate_limited: 0 });
    assert_eq!(counts.technician, LegCounts { packets: 3, bytes: 3_000, rate_limited: 0 });
}

#[test]
fn what_fits_no_slot_is_dropped_and_counted_by_reason() {
    let (table, open) = (table(), channel(2, 77));
    table.open(open, address(AGENT), address(TECHNICIAN));

    assert_eq!(route(&table, AGENT, channel(0, 77), 1), None, "never opened");
    assert_eq!(route(&table, AGENT, channel(4, 77), 1), None, "behind the end");
    assert_eq!(route(&table, AGENT, channel(0x00ff_ffff, 0x00ff_ffff), 1), None, "the last there could be");
    assert_eq!(route(&table, AGENT, channel(2, 78), 1), None, "another generation");
    assert_eq!(route(&table, STRANGER, open, 1), None, "somebody else");
    assert_eq!(route(&table, "192.0.2.1:1001", open, 1), None, "another port");

    assert_eq!(table.dropped(), [9, 3, 6, 0]);
    assert_eq!(table.last_seen(open), LastSeen::default());
}

#[test]
fn a_closed_channel_forwards_nothing_and_its_slot_can_serve_another() {
    let (table, old, new) = (table(), channel(1, 10), channel(1, 11));
    table.open(old, address(AGENT), address(TECHNICIAN));
    route(&table, AGENT, old, 1);
    assert_eq!(table.close(old).agent.packets, 3);
    assert_eq!(table.close(old), ChannelCounts::default(), "closed twice");
    assert_eq!(route(&table, AGENT, old, 1), None);

    table.open(new, address(STRANGER), address(TECHNICIAN));
    assert_eq!(table.close(old), ChannelCounts::default(), "an old id does not close a new channel");
    assert_eq!(route(&table, STRANGER, new, 1), Some(address(TECHNICIAN)));
    assert_eq!(route(&table, AGENT, old, 1), None);
    assert_eq!(table.last_seen(old), LastSeen::default());
    assert_eq!(table.close(new).agent.packets, 3, "counted from zero");
}

#[test]
fn generation_zero_is_a_generation_like_any_other() {
    let (table, channel) = (table(), channel(0, 0));
    assert_eq!(route(&table, AGENT, channel, 1), None);
    table.open(channel, address(AGENT), address(TECHNICIAN));
    assert_eq!(route(&table, AGENT, channel, 1), Some(address(TECHNICIAN)));
}

#[test]
fn a_side_that_moved_is_heard_again_after_a_rebind() {
    let (table, channel) = (table(), channel(3, 5));
    table.open(channel, address(AGENT), address(TECHNICIAN));
    route(&table, AGENT, channel, 1);
    assert_eq!(route(&table, STRANGER, channel, 1), None);

    table.rebind(channel, address(STRANGER), address(TECHNICIAN));

    assert_eq!(route(&table, STRANGER, channel, 2), Some(address(TECHNICIAN)));
    assert_eq!(route(&table, TECHNICIAN, channel, 2), Some(address(STRANGER)));
    assert_eq!(route(&table, AGENT, channel, 2), None, "the old address is nobody now");
    assert_eq!(table.close(channel).agent.packets, 6, "the counts go on");

    table.rebind(channel, address(AGENT), address(TECHNICIAN));
    assert_eq!(route(&table, AGENT, channel, 3), None, "a rebind opens nothing");
}

#[test]
fn a_side_over_its_rate_is_cut_and_the_other_is_not() {
    let (table, channel) = (table(), channel(0, 9));
    table.open(channel, address(AGENT), address(TECHNICIAN));
    let send = |from: &str| table.route(address(from), DataHeader { channel }, 60_000, 50, at(1)) != Route::Nowhere;
    let passed = (0..100).filter(|_| send(AGENT)).count();
    // 100 ms of 16 MB/s in trains of 60,000 bytes and 50 headers.
    assert_eq!(passed, 25);
    assert!(send(TECHNICIAN));
    assert_eq!(table.close(channel).agent.rate_limited, 75 * 50);
    assert_eq!(table.dropped(), [0, 0, 0, 75 * 50]);
}

#[test]
fn tiny_packets_are_charged_for_their_headers() {
    let (table, channel) = (table(), channel(0, 9));
    table.open(channel, address(AGENT), address(TECHNICIAN));
    let passed =
        (0..100_000).filter(|_| table.route(address(AGENT), DataHeader { channel }, 9, 1, at(1)) != Route::Nowhere);
    // 1,600,000 bytes at 57 each, with a little rounding.
    assert!((28_000..28_200).contains(&passed.count()));
}

#[test]
fn a_sender_at_an_unknown_address_is_told_once_a_second_and_only_of_an_open_channel() {
    let (table, open) = (table(), channel(3, 5));
    let ask = |channel, millis| {
        let now = Moment::from_origin(Duration::from_millis(millis));
        table.route(address(STRANGER), DataHeader { channel }, 3_000, 3, now)
    };
    assert_eq!(ask(open, 0), Route::Nowhere, "not open");
    table.open(open, address(AGENT), address(TECHNICIAN));
    assert_eq!(ask(channel(3, 6), 0), Route::Nowhere, "another channel");
    let told = (0..5_000).filter(|millis| ask(open, *millis) == Route::Unbound).collect::<Vec<_>>();
    assert_eq!(told, [0, 1_001, 2_001, 3_001, 4_001]);
    table.close(open);
    assert_eq!(ask(open, 9_000), Route::Nowhere, "closed");
}
