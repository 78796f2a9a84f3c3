//! Every decoder of every dialect: requests of clients, answers, errors and streams of providers.
//! What was read is written in every dialect, and what is written is JSON.
//!
//! The first byte chooses the dialect, the second what the rest is and how it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::dialects::{
    ClientCodec, Cutter, ProviderCodec, RequestPath, TargetModel, Warnings, client_codec,
    provider_codec,
};
use ringgate::llm::{ChatRequest, ChunkAssembler, Dialect, Scanner, chunks_of};
use serde::de::IgnoredAny;

const EVENT_BYTES_MAX: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let [dialect, kind, body @ ..] = data else { return };
    let dialect = Dialect::ALL[usize::from(*dialect) % Dialect::ALL.len()];
    let Some(provider) = provider_codec(dialect) else { return };
    match kind % 4 {
        0 => request(client_codec(dialect), body),
        1 => answer(provider, body),
        2 => error(provider, body),
        _ => stream(provider, body, usize::from(kind / 4) + 1),
    }
});

fn clients() -> impl Iterator<Item = &'static dyn ClientCodec> {
    Dialect::ALL.into_iter().map(client_codec)
}

fn request(reader: &dyn ClientCodec, body: &[u8]) {
    let path = RequestPath { model: Some("m"), stream: true };
    let read = Scanner::default().read(body, |root| reader.read_request(root, &path));
    let Ok(Ok(request)) = read else { return };
    for writer in Dialect::ALL.into_iter().filter_map(provider_codec) {
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let target = TargetModel::new(&request.model, true);
        if writer.write_request(&request, &target, &mut warnings, &mut out).is_ok() {
            assert_json(&out);
            let header = warnings.header();
            assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header}");
            let path = writer.path(&target, true);
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
        }
    }
}

fn answer(reader: &dyn ProviderCodec, body: &[u8]) {
    let Ok(Some(answer)) = Scanner::default().read(body, |root| reader.read_answer(root)) else {
        return;
    };
    let request = ChatRequest { include_usage: true, ..ChatRequest::default() };
    for writer in clients() {
        let mut out = Vec::new();
        writer.write_answer(&answer, &request, 1, &mut out);
        assert_json(&out);
        let mut encoder = writer.stream_encoder(&request, 1);
        chunks_of(&answer).iter().for_each(|chunk| encoder.push(chunk, &mut out));
    }
}

fn error(reader: &dyn ProviderCodec, body: &[u8]) {
    let read = Scanner::default().read(body, |root| reader.read_error(500, Some(root)));
    let Ok(error) = read else { return };
    for writer in clients() {
        let mut out = Vec::new();
        writer.write_error(&error, &mut out);
        assert_json(&out);
    }
}

fn stream(reader: &dyn ProviderCodec, body: &[u8], size: usize) {
    let mut encoders: Vec<_> =
        clients().map(|writer| writer.stream_encoder(&ChatRequest::default(), 1)).collect();
    let decode = |size: usize| {
        let mut cutter = Cutter::new(reader.frame(), EVENT_BYTES_MAX);
        let mut decoder = reader.stream_decoder();
        let (mut scanner, mut chunks) = (Scanner::default(), Vec::new());
        for piece in body.chunks(size) {
            cutter.push(piece);
            let taken =
                cutter.each(|name, data| decoder.event(name, data, &mut scanner, &mut chunks));
            if taken.is_err() {
                return chunks;
            }
        }
        decoder.finish(&mut chunks);
        chunks
    };
    let chunks = decode(size);
    assert_eq!(chunks, decode(body.len().max(1)), "however it is cut");
    let mut assembler = ChunkAssembler::default();
    for chunk in chunks {
        let mut out = Vec::new();
        encoders.iter_mut().for_each(|encoder| encoder.push(&chunk, &mut out));
        assembler.push(chunk);
    }
    let _ = assembler.finish();
}

fn assert_json(text: &[u8]) {
    let read = serde_json::from_slice::<IgnoredAny>(text);
    assert!(read.is_ok(), "{read:?} in {}", String::from_utf8_lossy(text));
}
