//! Clients that come without relays: their messages become the same requests, and the answers go back as messages.
//!
//! A connection is read one message at a time, and a message that is too much is refused or waits: then its client waits
//! too. What is answered is counted like everything else (`gate`), and whoever does not take its answers is cut off.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tracing::debug;

use crate::provider::caller::{Caller, Outcome, Refusal, Way};
use crate::provider::gate::Pass;
use crate::provider::handle::report;
use crate::provider::send::{hold, kib};
use crate::provider::server::Server;
use crate::transport::direct::{
    DirectConnection, DirectError, Guest, Held, Outbox, Received, Rest, Room, Unfit,
};
use crate::types::limits::DIRECT_IDLE_MAX;
use crate::types::{BlobHash, ClientId, Timestamp};
use crate::wire::{DirectId, DirectMessage, ErrorCode, RequestNumber};

impl Server {
    /// Serves a connected client until it leaves, rests too long or breaks the rules, or the provider is `closing`.
    pub(super) async fn serve_guest(self: Arc<Self>, guest: Guest, mut closing: watch::Receiver<bool>) {
        let Guest { client, connection: DirectConnection { outbox, mut inbox }, rest } = guest;
        debug!(client = %client.short(), "connected directly");
        let mut jobs = JoinSet::new();
        let is_closing = loop {
            let next = tokio::select! {
                biased;
                // Nothing is read any more: what has come in by halves may be dropped.
                _ = closing.wait_for(|closing| *closing) => break true,
                () = rest.asked_to_leave() => break false,
                next = inbox.next(DIRECT_IDLE_MAX) => next,
            };
            while let Some(ended) = jobs.try_join_next() {
                report(ended);
            }
            match next {
                Ok(received) => {
                    if !self.take_message(received, (client, &rest), &outbox, &mut jobs).await {
                        break false;
                    }
                }
                Err(DirectError::Silent) if !jobs.is_empty() => {}
                Err(error) => {
                    debug!(client = %client.short(), %error, "direct connection ends");
                    break false;
                }
            }
        };
        // What was begun comes to its end, and is counted until then: a client that leaves frees nothing by that, and one
        // that asks again by another way is answered. Only to a client that is still there something is sent.
        let remaining = is_closing.then_some(inbox);
        while let Some(ended) = jobs.join_next().await {
            report(ended);
        }
        drop(outbox);
        if let Some(inbox) = remaining {
            inbox.written().await;
        }
    }

    /// Takes in one message. False if it is none that a client may send.
    async fn take_message(
        self: &Arc<Self>,
        received: Received,
        (client, rest): (ClientId, &Arc<Rest>),
        outbox: &Outbox,
        jobs: &mut JoinSet<()>,
    ) -> bool {
        let (message, held) = match received {
            Received::Message { message, held } => (message, held),
            Received::PassedOver { id, why } => {
                let refusal = match why {
                    Unfit::TooLarge { len } => self.too_large(len),
                    Unfit::NoRoom | Unfit::Unwanted => Refusal::busy(),
                };
                self.answer(&self.guest_caller(client, self.env.now(), id, outbox), Err(refusal)).await;
                return true;
            }
        };
        let (id, at, len) = match &message {
            DirectMessage::Request { id, .. } | DirectMessage::Want { id, .. } => (*id, self.env.now(), 0),
            DirectMessage::Ask { id, at, content } => (*id, *at, content.len()),
            DirectMessage::Store(store) => (store.id, store.at, store.data.len()),
            _ => return false,
        };
        let caller = self.guest_caller(client, at, id, outbox);
        rest.moved();
        let Some(mut pass) = self.gate.enter(client, len) else {
            self.answer(&caller, Err(Refusal::busy())).await;
            return true;
        };
        pass.work = Some(rest.work());
        let server = self.clone();
        jobs.spawn(async move { server.work_directly(message, held, caller, pass).await });
        true
    }

    fn guest_caller(&self, client: ClientId, at: Timestamp, id: DirectId, outbox: &Outbox) -> Caller {
        let way = Way::Direct { id, outbox: outbox.clone() };
        Caller::direct(client, at, self.env.random_bytes(), way)
    }

    /// Answers one message; `held` is the room that it takes.
    async fn work_directly(
        self: &Arc<Self>,
        message: DirectMessage,
        held: Room,
        mut caller: Caller,
        pass: Pass,
    ) {
        match message {
            DirectMessage::Request { id, hash } => self.send_whole(id, hash, &caller, pass).await,
            DirectMessage::Want { id, hashes } => {
                let hashes =
                    hashes.into_iter().filter(|hash| self.visible(hash, &caller).is_some()).collect();
                caller.way.send(DirectMessage::Have { id, hashes }, None).await;
            }
            DirectMessage::Store(store) => {
                let outcome = match self.check_age(&caller) {
                    Ok(()) => self.store_whole(store, &caller).await,
                    Err(refusal) => Err(refusal),
                };
                // Others need not wait until this client has taken its answer.
                drop(held);
                self.answer(&caller, outcome).await;
            }
            DirectMessage::Ask { content, .. } => match DirectMessage::read_ask(&content) {
                Ok((action, number)) => {
                    caller.number = number;
                    self.work(action, &caller, pass).await;
                }
                Err(error) => self.answer(&caller, Err(error.into())).await,
            },
            // Refused before.
            _ => {}
        }
    }

    /// Sends a whole blob as one message. It counts as under way until its last byte has left.
    async fn send_whole(self: &Arc<Self>, id: DirectId, hash: BlobHash, caller: &Caller, pass: Pass) {
        match self.read_whole(hash, caller, &pass).await {
            Ok((data, room)) => {
                let held: Held = Some(Box::new((room, pass)));
                caller.way.send(DirectMessage::Response { id, hash, data }, held).await;
            }
            Err(Refusal { code: ErrorCode::FileNotFound, .. }) => {
                caller.way.send(DirectMessage::NotFound { id, hash }, None).await;
            }
            Err(refusal) => self.answer(caller, Err(refusal)).await,
        }
    }

    /// A whole blob, and the room that it takes in memory until it has been sent: of its client's, and of all.
    async fn read_whole(
        self: &Arc<Self>,
        hash: BlobHash,
        caller: &Caller,
        pass: &Pass,
    ) -> Result<(Bytes, [OwnedSemaphorePermit; 2]), Refusal> {
        let entry = self.readable(&hash, caller)?;
        // Who asks for much waits for itself, and not where others wait.
        let of_client = pass.direct_room.clone().acquire_many_owned(kib(entry.len)).await;
        let of_client = of_client.map_err(|_| Refusal::internal())?;
        let held = hold(&self.held_directly, entry.len).await?;
        let _turn = self.turns.acquire().await.map_err(|_| Refusal::internal())?;
        let blob = self.off_thread(move |server| Ok(server.store.get(&hash)?)).await?;
        Ok((blob, [of_client, held]))
    }
}

impl Way {
    /// Sends a message over the connection that the request came by. Over relays nothing is sent so.
    pub(super) async fn send(&self, message: DirectMessage, held: Held) {
        let Self::Direct { outbox, .. } = self else { return };
        if outbox.send(message, held).await.is_err() {
            debug!("a client left before its answer");
        }
    }
}

/// The message that says how a question has ended.
pub(super) fn message(id: DirectId, outcome: Outcome, number: Option<RequestNumber>) -> DirectMessage {
    match outcome {
        Ok(answer) => DirectMessage::answer(id, &answer, number),
        Err(Refusal { code, text }) => DirectMessage::Error { id, code, text },
    }
}
