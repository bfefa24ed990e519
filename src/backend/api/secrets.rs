//! Minted secrets: fetch, acknowledge, issue anew. All three need the right to execute: who may read objects reads no secrets.

use std::sync::Arc;

use http::StatusCode;

use super::{answer::Answer, call::Call, collections::Collection, objects::Spot};
use crate::{
    backend::{
        records,
        store::{self, Transaction, View},
    },
    protocol::{DeliveryRef, Problem, Verb},
};

pub(super) async fn fetch(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let look = move |view: &dyn View| {
        let project = caller.enter(view, &spot.project, &[collection.needs(Verb::Execute)])?;
        records::fetch_secret(view, &spot.place(&project, &collection), &spot.id)
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn acknowledge(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let seen: DeliveryRef = call.json()?;
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &spot.project, &[collection.needs(Verb::Execute)])?;
        records::acknowledge(tx, &spot.place(&project, &collection), &spot.id, &seen)
    };
    Answer::object(StatusCode::OK, &store::write(&*call.api.store, true, work).await?.answer)
}

pub(super) async fn reissue(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let seen: DeliveryRef = call.json()?;
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &spot.project, &[collection.needs(Verb::Execute)])?;
        records::reissue(tx, &spot.place(&project, &collection), &spot.id, &seen)
    };
    Answer::object(StatusCode::OK, &store::write(&*call.api.store, true, work).await?.answer)
}
