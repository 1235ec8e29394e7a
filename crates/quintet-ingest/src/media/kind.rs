//! The kinds of files that are told apart, what they are called, and what can be done with them.

use quintet_core::Modality;

/// What a kind shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Picture,
    Sound,
    Film,
    /// Neither: a document, an archive, a page.
    Other,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Jpeg,
    Png,
    Apng,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Avif,
    Heif,
    Ico,
    Pnm,
    Qoi,
    Svg,
    Wav,
    Rf64,
    Rifx,
    Flac,
    OggVorbis,
    OggOpus,
    OggFlac,
    OggSpeex,
    Mp3,
    Aac,
    M4a,
    Aiff,
    Au,
    Caf,
    Ape,
    WavPack,
    Musepack,
    MatroskaSound,
    Mp4,
    Mov,
    ThreeGp,
    Matroska,
    WebM,
    Avi,
    Flv,
    MpegPs,
    MpegTs,
    OggTheora,
    /// A kind that is known by name only.
    Named(&'static str, Family),
    /// None of the kinds known here.
    Unknown,
}

/// Kinds with a table entry; their extensions are those that a name can lie with.
const LISTED: [Kind; 41] = [
    Kind::Jpeg,
    Kind::Png,
    Kind::Apng,
    Kind::Gif,
    Kind::WebP,
    Kind::Bmp,
    Kind::Tiff,
    Kind::Avif,
    Kind::Heif,
    Kind::Ico,
    Kind::Pnm,
    Kind::Qoi,
    Kind::Svg,
    Kind::Wav,
    Kind::Rf64,
    Kind::Rifx,
    Kind::Flac,
    Kind::OggVorbis,
    Kind::OggOpus,
    Kind::OggFlac,
    Kind::OggSpeex,
    Kind::Mp3,
    Kind::Aac,
    Kind::M4a,
    Kind::Aiff,
    Kind::Au,
    Kind::Caf,
    Kind::Ape,
    Kind::WavPack,
    Kind::Musepack,
    Kind::MatroskaSound,
    Kind::Mp4,
    Kind::Mov,
    Kind::ThreeGp,
    Kind::Matroska,
    Kind::WebM,
    Kind::Avi,
    Kind::Flv,
    Kind::MpegPs,
    Kind::MpegTs,
    Kind::OggTheora,
];

/// Extensions of the containers that differ in a brand only, which people mix freely.
const ISO: [&str; 6] = ["mp4", "m4v", "mov", "qt", "3gp", "3g2"];
const EBML: [&str; 3] = ["mkv", "webm", "mka"];

impl Kind {
    /// Name, family, and the extensions that fit.
    fn entry(self) -> (&'static str, Family, &'static [&'static str]) {
        use Family::{Film, Other, Picture, Sound};
        match self {
            Kind::Jpeg => ("a JPEG picture", Picture, &["jpg", "jpeg", "jpe", "jfif"]),
            Kind::Png => ("a PNG picture", Picture, &["png"]),
            Kind::Apng => ("an animated PNG picture", Picture, &["png", "apng"]),
            Kind::Gif => ("a GIF picture", Picture, &["gif"]),
            Kind::WebP => ("a WebP picture", Picture, &["webp"]),
            Kind::Bmp => ("a BMP picture", Picture, &["bmp", "dib"]),
            Kind::Tiff => ("a TIFF picture", Picture, &["tif", "tiff"]),
            Kind::Avif => ("an AVIF picture", Picture, &["avif", "avifs", "heif"]),
            Kind::Heif => ("a HEIF picture", Picture, &["heic", "heif", "hif", "avif"]),
            Kind::Ico => ("an icon", Picture, &["ico", "cur"]),
            Kind::Pnm => ("a PNM picture", Picture, &["pnm", "pbm", "pgm", "ppm", "pam"]),
            Kind::Qoi => ("a QOI picture", Picture, &["qoi"]),
            Kind::Svg => ("an SVG drawing", Picture, &["svg"]),
            Kind::Wav => ("WAV sound", Sound, &["wav", "wave"]),
            Kind::Rf64 => ("RF64 sound", Sound, &["wav", "wave", "rf64"]),
            Kind::Rifx => ("big-endian WAV sound", Sound, &["wav", "wave"]),
            Kind::Flac => ("FLAC sound", Sound, &["flac"]),
            Kind::OggVorbis => ("Ogg Vorbis sound", Sound, &["ogg", "oga"]),
            Kind::OggOpus => ("Ogg Opus sound", Sound, &["opus", "ogg", "oga"]),
            Kind::OggFlac => ("Ogg FLAC sound", Sound, &["oga", "ogg", "flac"]),
            Kind::OggSpeex => ("Ogg Speex sound", Sound, &["spx", "ogg", "oga"]),
            Kind::Mp3 => ("MP3 sound", Sound, &["mp3"]),
            Kind::Aac => ("AAC sound", Sound, &["aac"]),
            Kind::M4a => ("MPEG-4 sound", Sound, &["m4a", "m4b", "mp4", "mov", "3gp", "3g2"]),
            Kind::Aiff => ("AIFF sound", Sound, &["aif", "aiff", "aifc"]),
            Kind::Au => ("AU sound", Sound, &["au", "snd"]),
            Kind::Caf => ("CAF sound", Sound, &["caf"]),
            Kind::Ape => ("Monkey's Audio sound", Sound, &["ape"]),
            Kind::WavPack => ("WavPack sound", Sound, &["wv"]),
            Kind::Musepack => ("Musepack sound", Sound, &["mpc"]),
            Kind::MatroskaSound => ("Matroska or WebM sound", Sound, &EBML),
            Kind::Mp4 => ("an MPEG-4 film", Film, &ISO),
            Kind::Mov => ("a QuickTime film", Film, &ISO),
            Kind::ThreeGp => ("a 3GPP film", Film, &ISO),
            Kind::Matroska => ("a Matroska film", Film, &EBML),
            Kind::WebM => ("a WebM film", Film, &EBML),
            Kind::Avi => ("an AVI film", Film, &["avi"]),
            Kind::Flv => ("a Flash film", Film, &["flv"]),
            Kind::MpegPs => ("an MPEG program stream", Film, &["mpg", "mpeg", "vob"]),
            Kind::MpegTs => ("an MPEG transport stream", Film, &["ts", "m2ts", "mts"]),
            Kind::OggTheora => ("an Ogg Theora film", Film, &["ogv", "ogg"]),
            Kind::Named(name, family) => (name, family, &[]),
            Kind::Unknown => ("a file of no known kind", Other, &[]),
        }
    }

    /// What a person calls it.
    pub(crate) fn name(self) -> &'static str {
        self.entry().0
    }

    /// Whether a file of this kind shows what the modality wants, decoded here or not.
    pub(crate) fn suits(self, modality: Modality) -> bool {
        match modality {
            Modality::Audio => self.entry().1 == Family::Sound,
            Modality::Video => {
                let moving = matches!(self, Kind::Apng | Kind::Gif | Kind::WebP);
                moving || self.entry().1 == Family::Film
            }
            _ => self.entry().1 == Family::Picture,
        }
    }

    /// Whether it is decoded here as what the modality wants.
    pub(crate) fn is_read(self, modality: Modality) -> bool {
        match modality {
            Modality::Audio => self == Kind::Wav,
            Modality::Video => matches!(self, Kind::Gif | Kind::WebP),
            _ => matches!(
                self,
                Kind::Jpeg
                    | Kind::Png
                    | Kind::Apng
                    | Kind::Gif
                    | Kind::WebP
                    | Kind::Bmp
                    | Kind::Tiff
                    | Kind::Ico
                    | Kind::Pnm
                    | Kind::Qoi
            ),
        }
    }

    /// Whether an extension is that of another kind and not of this one.
    pub(crate) fn belies(self, extension: &str) -> bool {
        let extension = extension.to_ascii_lowercase();
        let has = |kind: Kind| kind.entry().2.contains(&extension.as_str());
        self != Kind::Unknown && !has(self) && LISTED.into_iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_lies_if_it_names_another_kind() {
        assert!(Kind::Png.belies("jpg") && Kind::Png.belies("MP3"));
        assert!(!Kind::Png.belies("PNG") && !Kind::Png.belies("dat") && !Kind::Png.belies(""));
        assert!(!Kind::WebM.belies("mkv") && !Kind::Mov.belies("mp4"));
        assert!(!Kind::Unknown.belies("png"));
    }

    #[test]
    fn what_is_read_suits() {
        for modality in [Modality::Image, Modality::Audio, Modality::Video] {
            for kind in LISTED {
                assert!(!kind.is_read(modality) || kind.suits(modality), "{kind:?} {modality}");
            }
        }
        assert!(!Kind::Jpeg.suits(Modality::Video) && Kind::Mp4.suits(Modality::Video));
        assert!(!Kind::M4a.suits(Modality::Video) && !Kind::Mp4.suits(Modality::Audio));
    }
}
