//! Laws of the handshake and of the records, under both ciphers.

use bytes::Bytes;

use super::pipes::{connected_under, lenient, provider_of, room};
use super::{WAIT, env, keys, message, response};
use crate::transport::direct::noise::Channel;
use crate::transport::direct::record::{Cutting, Joining, RECORDS_OF_A_KEY, Sealer};
use crate::transport::direct::{DirectError, Opening, Welcome};
use crate::wire::direct::{Ack, DirectCipher, Hello, Introduction};

/// Both sides of a connection, the client's first.
fn agreed(cipher: DirectCipher) -> (Channel, Channel) {
    let (client, provider, env) = (keys(1), keys(2), env(1));
    let (opening, hello) = Opening::begin(cipher, &env).unwrap();
    let (welcome, ack) = Welcome::begin(&hello, &provider, &env).unwrap();
    let (near, introduction) = opening.finish(&ack, &provider_of(&provider), &client).unwrap();
    let (far, _client) = welcome.finish(&introduction).unwrap();
    (near, far)
}

fn records(sealer: &mut Sealer, len: usize) -> Vec<Bytes> {
    let mut cutting = Cutting::begin(response(1, len).encode()).unwrap();
    std::iter::from_fn(|| cutting.next(sealer)).map(Result::unwrap).collect()
}

#[test]
fn one_in_the_middle_can_show_neither_side_a_proof() {
    let (client, provider, env) = (keys(1), keys(2), env(1));
    for cipher in DirectCipher::ALL {
        // Two handshakes, one with each side; the provider's proof is passed on.
        let (to_me, hello) = Opening::begin(cipher, &env).unwrap();
        let (_, hello_of_the_middle) = Opening::begin(cipher, &env).unwrap();
        let (_, ack) = Welcome::begin(&hello_of_the_middle, &provider, &env).unwrap();
        let finished = to_me.finish(&ack, &provider_of(&provider), &client);
        assert!(matches!(finished, Err(DirectError::Handshake)));
        // One that answers the client itself has no key to sign with.
        let (to_me, _) = Opening::begin(cipher, &env).unwrap();
        let (_, own) = Welcome::begin(&hello, &keys(3), &env).unwrap();
        assert!(to_me.finish(&own, &provider_of(&provider), &client).is_err());
    }
}

#[test]
fn one_in_the_middle_cannot_change_the_cipher() {
    let (client, provider, env) = (keys(1), keys(2), env(1));
    for (wanted, other) in [(0, 1), (1, 0)].map(|(a, b)| (DirectCipher::ALL[a], DirectCipher::ALL[b])) {
        let (opening, hello) = Opening::begin(wanted, &env).unwrap();
        let (_, ack) = Welcome::begin(&Hello { cipher: other, ..hello }, &provider, &env).unwrap();
        assert_eq!(ack.cipher, other);
        assert!(
            opening.finish(&ack, &provider_of(&provider), &client).is_err(),
            "of the hello, and it is told"
        );

        let (opening, hello) = Opening::begin(wanted, &env).unwrap();
        let (_, mut ack) = Welcome::begin(&Hello { cipher: other, ..hello }, &provider, &env).unwrap();
        ack.cipher = wanted;
        assert!(
            opening.finish(&ack, &provider_of(&provider), &client).is_err(),
            "of the hello, and it is not"
        );

        let (opening, hello) = Opening::begin(wanted, &env).unwrap();
        let (_, ack) = Welcome::begin(&hello, &provider, &env).unwrap();
        let changed = Ack { cipher: other, ..ack };
        assert!(opening.finish(&changed, &provider_of(&provider), &client).is_err(), "of the ack");

        let (opening, hello) = Opening::begin(wanted, &env).unwrap();
        let (welcome, ack) = Welcome::begin(&hello, &provider, &env).unwrap();
        let (_, introduction) = opening.finish(&ack, &provider_of(&provider), &client).unwrap();
        assert!(
            welcome.finish(&Introduction { cipher: other, ..introduction }).is_err(),
            "of the introduction"
        );
    }
}

#[test]
fn recorded_handshake_is_of_no_use() {
    let (client, provider, env) = (keys(1), keys(2), env(1));
    for cipher in DirectCipher::ALL {
        let (opening, hello) = Opening::begin(cipher, &env).unwrap();
        let (welcome, ack) = Welcome::begin(&hello, &provider, &env).unwrap();
        let (_, introduction) = opening.finish(&ack, &provider_of(&provider), &client).unwrap();
        assert!(welcome.finish(&introduction).is_ok());
        // The same first and last message, to the same provider, a moment later.
        let (again, _) = Welcome::begin(&hello, &provider, &env).unwrap();
        assert!(matches!(again.finish(&introduction), Err(DirectError::Handshake)));
        // The same answer, to the same client.
        let (opening, _) = Opening::begin(cipher, &env).unwrap();
        assert!(opening.finish(&ack, &provider_of(&provider), &client).is_err());
    }
}

#[test]
fn every_changed_byte_of_the_handshake_ends_it() {
    let (client, provider, env) = (keys(1), keys(2), env(1));
    for (cipher, at) in DirectCipher::ALL.into_iter().flat_map(|cipher| (0..34).map(move |at| (cipher, at))) {
        let (opening, hello) = Opening::begin(cipher, &env).unwrap();
        let mut changed = hello.encode();
        changed[at] ^= 1;
        let Ok(hello) = Hello::decode(&changed) else { continue };
        let Ok((_, ack)) = Welcome::begin(&hello, &provider, &env) else { continue };
        // X25519 leaves the highest bit out (RFC 7748 §5), but the hash of the handshake does not.
        assert!(opening.finish(&ack, &provider_of(&provider), &client).is_err(), "{cipher:?} {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_under_either_cipher_both_ways() {
    for cipher in DirectCipher::ALL {
        let (mut client, mut guest) =
            connected_under(cipher, (&keys(1), &keys(2)), &env(1), lenient(room())).await;
        for (id, len) in (0..).zip([0, 1, 65_519, 131_000]) {
            let expected = response(id, len);
            let (sent, got, returned, arrived) = tokio::join!(
                client.outbox.send(expected.clone(), None),
                guest.connection.inbox.next(WAIT),
                guest.connection.outbox.send(expected.clone(), None),
                client.inbox.next(WAIT)
            );
            sent.unwrap();
            returned.unwrap();
            assert_eq!(message(got), expected, "{cipher:?} {len}");
            assert_eq!(message(arrived), expected, "{cipher:?} {len}");
        }
    }
}

#[test]
fn records_that_are_changed_repeated_or_moved_do_not_open() {
    for cipher in DirectCipher::ALL {
        let ((mut sealer, _), (_, mut opener)) = agreed(cipher);
        let good = records(&mut sealer, 200_000);
        assert_eq!(good.len(), 4);
        let mut plain = Vec::new();
        opener.open_onto(&good[0], &mut plain).unwrap();
        let mut joining = Joining::begin(plain).unwrap();
        assert!(joining.add(&good[0], &mut opener).is_err(), "repeated");
        assert!(joining.add(&good[2], &mut opener).is_err(), "out of order");

        for (name, spoil) in [
            ("changed", (|bytes: &mut Vec<u8>| bytes[100] ^= 1) as fn(&mut Vec<u8>)),
            ("of another tag", |bytes| *bytes.last_mut().unwrap() ^= 1),
            ("shorter", |bytes| bytes.truncate(65_000)),
            ("empty", Vec::clear),
        ] {
            let ((mut sealer, _), (_, mut opener)) = agreed(cipher);
            let mut first = records(&mut sealer, 100_000)[0].to_vec();
            spoil(&mut first);
            assert!(opener.open_onto(&first, &mut Vec::new()).is_err(), "{cipher:?} {name}");
        }
    }
}

#[test]
fn key_is_changed_after_many_records_on_both_sides_and_in_one_direction() {
    for cipher in DirectCipher::ALL {
        // All randomness is seeded: the keys of both connections are the same.
        let [(mut near, mut far), (_, (_, mut other))] = [agreed(cipher), agreed(cipher)];
        near.0.next = RECORDS_OF_A_KEY - 1;
        far.1.next = RECORDS_OF_A_KEY - 1;
        let sealed: Vec<Bytes> = (0..3).map(|_| near.0.seal(b"text").unwrap()).collect();
        for record in &sealed {
            far.1.open_onto(record, &mut Vec::new()).unwrap();
        }
        other.next = RECORDS_OF_A_KEY + 1;
        assert!(other.open_onto(&sealed[2], &mut Vec::new()).is_err(), "it has missed the change");
        let back = far.0.seal(b"text").unwrap();
        near.1.open_onto(&back, &mut Vec::new()).expect("the other direction has the key that it had");
    }
}
