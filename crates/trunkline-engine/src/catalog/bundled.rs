//! The files of the models that come with the product. They are compiled in (7 MB), so that a
//! fresh machine without any hub can recognise speech, wherever the program was started from.

macro_rules! bundled {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$((
            $folder,
            $name,
            include_bytes!(concat!("../../../../", $folder, "/", $name)),
        )),*]
    };
}

const FILES: &[(&str, &str, &[u8])] = bundled!["models/starter/whisper-starter":
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
];

/// The bytes of a file of a bundled model; `folder` as its manifest's source says.
pub(crate) fn bundled_file(folder: &str, name: &str) -> Option<&'static [u8]> {
    FILES
        .iter()
        .find(|file| file.0 == folder && file.1 == name)
        .map(|file| file.2)
}
