//! Vectors of texts, each text embedded once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ringgate::inference::{EMBEDDERS, Embedding, LocalModel, MODEL_NAME};

pub(crate) struct EmbeddingCache {
    model: LocalModel,
    known: HashMap<String, Embedding>,
}

impl EmbeddingCache {
    /// Opens the model of `folder`, or that of this checkout, with the embedder `kind` or the one that
    /// would serve here.
    pub(crate) fn open(folder: Option<&Path>, kind: Option<&str>) -> Result<Self> {
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(MODEL_NAME);
        let folder = folder.map_or(usual, PathBuf::from);
        let model = match kind {
            None => LocalModel::open(&folder),
            Some(name) => {
                let kind = EMBEDDERS.iter().find(|kind| kind.name == name);
                LocalModel::open_kind(&folder, kind.context("expected `fused` or `candle`")?)
            }
        };
        let model = model.context("opening the model")?;
        eprintln!("embedder: {}", model.id);
        Ok(Self { model, known: HashMap::new() })
    }

    pub(crate) fn of(&mut self, text: &str) -> Result<Embedding> {
        if let Some(embedding) = self.known.get(text) {
            return Ok(embedding.clone());
        }
        let embedding = self.model.embed(text).with_context(|| format!("embedding {text:?}"))?;
        self.known.insert(text.to_owned(), embedding.clone());
        Ok(embedding)
    }
}
