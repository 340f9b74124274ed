//! Which instruments an exchange lists, so that a share is never taken for an index or a future with the same ticker.
//!
//! The exchange is the part before the colon of `NYSE:DOW`, or a sender's separate field. The table below decides for
//! known exchanges. On an unknown one only names that no share can have are accepted: currency and metal pairs, names
//! that mix letters with digits (`US30`), and contract codes (`ESH26`).

use super::instrument::{Instrument, InstrumentClass};
use super::spelling::{SpellingForm, normalize};

/// A group of exchanges with the same roots of futures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeGroup {
    Cme,
    Cbot,
    Comex,
    Nymex,
}

/// The kind of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Venue {
    /// A broker or a data service with contracts for difference: everything except futures.
    Broker,
    /// Currency pairs and spot metals only.
    Spot,
    /// Crypto-currencies, and the currency pairs of such exchanges.
    Crypto,
    /// Futures of these groups; empty for an exchange whose futures are not in the table.
    Futures(&'static [ExchangeGroup]),
    /// Shares, and the indices with these tickers.
    Shares(&'static [&'static str]),
    /// An exchange that is not in the table.
    Unknown,
}

const BROKERS: &str = "OANDA FX FXCM FOREXCOM CAPITALCOM CURRENCYCOM PEPPERSTONE ICMARKETS EIGHTCAP BLACKBULL VANTAGE \
    FUSIONMARKETS FPMARKETS TICKMILL THINKMARKETS EASYMARKETS ACTIVTRADES SAXO SAXOBANK IG IGMARKETS SKILLING SPREADEX \
    GLOBALPRIME AXI AXITRADER ADMIRALS ADMIRALMARKETS AVATRADE XM XMGLOBAL EXNESS HFM HFMARKETS HOTFOREX FTMO TVC DUKASCOPY \
    SWISSQUOTE CMCMARKETS CITYINDEX GAINCAPITAL ETORO PLUS500 XTB OCTA OCTAFX ROBOFOREX JUSTMARKETS FBS FXPRO FXTM FXOPEN \
    ALPARI DERIV WHSELFINVEST GBEBROKERS TRADENATION AMANA TRIVE TMGM PURPLETRADING ERRANTE HANTEC INFINOX VALUTRADES LCG NAGA \
    TRADEVIEW TRADU ACYSECURITIES TIOMARKETS VTMARKETS BLUEBERRY GOMARKETS MONETA MONETAMARKETS VELOCITYTRADE DARWINEX \
    LIBERTEX TITANFX PHILLIPNOVA IRONFX METATRADER MT4 MT5 CTRADER";
const SPOT: &str = "FXIDC IDC FOREX CURRENCY C CA CAS IDEALPRO FXSPOT";
const CRYPTO: &str = "X BINANCE BINANCEUS BITSTAMP BITFINEX BITGET BITMEX BYBIT COINBASE CRYPTO CRYPTOCOM DERIBIT GATEIO GEMINI \
    HTX HUOBI KRAKEN KUCOIN LUNO MEXC OKX PHEMEX VALR";
const OTHER_FUTURES: &str = "EUREX ICE ICEUS ICEEUR ICEENDEX NYBOT MCX NCDEX TFEX HKFE OSE TOCOM CFE SHFE CZCE DCE CFFEX INE \
    TAIFEX ASX24 SFE MATIF MGEX SAFEX BORSAITALIANAIDEM";
const CME: &str = "CME CMEMINI CMEMICRO XCME CMEEMINI";
const CBOT: &str = "CBOT CBOTMINI XCBT ECBOT";
const COMEX: &str = "COMEX COMEXMINI XCEC CMX";
const NYMEX: &str = "NYMEX NYMEXMINI XNYM NYM";
const WHOLE_CME: &str = "GLOBEX CMEGLOBEX CMEGROUP";
const SHARES: &str = "NYSE NYSEARCA NYSEAMERICAN ARCA AMEX BATS IEX OTC OTCMKTS PINK TSX TSXV CSE NEO LSE LSIN AQUIS XETR FWB SWB BER \
    DUS HAM HAN MUN TRADEGATE GETTEX LS LSX EURONEXT EURONEXTPAR EURONEXTAMS EURONEXTBRU EURONEXTLIS EPA AMS EBR MIL BIT BME \
    SIX SWX BX VIE WSE GPW NEWCONNECT PRE BUD BET BVB ATHEX OMX OMXSTO OMXCOP OMXHEX OMXICE OMXTSE OMXRSE OMXVSE NGM OSL ASX NZX \
    NSE BSE HKEX SSE SZSE TSE TYO NAG SAPSE FSE KRX KOSDAQ TWSE TPEX SGX SET IDX MYX PSE HOSE HNX UPCOM PSX DSEBD CSELK BMV BIVA \
    BMFBOVESPA BVMF BCBA BYMA BCS BVC BVL JSE EGX NSENG NSEKE CSEMA TADAWUL DFM ADX QSE KSE BAHRAIN TASE BIST MOEX RUS LUXSE CXE \
    CBOEEU UKTRADE";

/// The group that lists a root.
const ROOTS: [(&str, ExchangeGroup); 24] = [
    ("ES", ExchangeGroup::Cme),
    ("NQ", ExchangeGroup::Cme),
    ("MES", ExchangeGroup::Cme),
    ("MNQ", ExchangeGroup::Cme),
    ("RTY", ExchangeGroup::Cme),
    ("M2K", ExchangeGroup::Cme),
    ("6E", ExchangeGroup::Cme),
    ("6B", ExchangeGroup::Cme),
    ("6J", ExchangeGroup::Cme),
    ("BTC", ExchangeGroup::Cme),
    ("MBT", ExchangeGroup::Cme),
    ("YM", ExchangeGroup::Cbot),
    ("MYM", ExchangeGroup::Cbot),
    ("ZN", ExchangeGroup::Cbot),
    ("ZB", ExchangeGroup::Cbot),
    ("ZC", ExchangeGroup::Cbot),
    ("GC", ExchangeGroup::Comex),
    ("MGC", ExchangeGroup::Comex),
    ("SI", ExchangeGroup::Comex),
    ("SIL", ExchangeGroup::Comex),
    ("HG", ExchangeGroup::Comex),
    ("CL", ExchangeGroup::Nymex),
    ("MCL", ExchangeGroup::Nymex),
    ("NG", ExchangeGroup::Nymex),
];

impl Venue {
    /// Looks up an exchange, in any case and with any separators. TradingView marks delayed prices by `_DL` or `_DLY`.
    pub(super) fn of(exchange: &str) -> Self {
        use ExchangeGroup::{Cbot, Cme, Comex, Nymex};
        let upper = exchange.trim().to_uppercase();
        let name = normalize(upper.strip_suffix("_DLY").or_else(|| upper.strip_suffix("_DL")).unwrap_or(&upper));
        let is_in = |table: &str| table.split(' ').any(|known| known == name);
        match name.as_str() {
            "NASDAQ" | "NASDAQGIDS" | "INDEXNASDAQ" => Self::Shares(&["NDX"]),
            "DJ" | "INDEXDJX" | "DJCFD" => Self::Shares(&["DJI", ".DJI"]),
            "SP" | "INDEXSP" | "SPCFD" => Self::Shares(&["SPX", ".INX"]),
            "CBOE" => Self::Shares(&["SPX", "NDX"]),
            "INDEX" | "I" | "V.I" | "A.I" | "AM.I" => Self::Shares(&["DJI", "NDX", "SPX"]),
            _ if is_in(BROKERS) => Self::Broker,
            _ if is_in(SPOT) => Self::Spot,
            _ if is_in(CRYPTO) => Self::Crypto,
            _ if is_in(CME) => Self::Futures(&[Cme]),
            _ if is_in(CBOT) => Self::Futures(&[Cbot]),
            _ if is_in(COMEX) => Self::Futures(&[Comex]),
            _ if is_in(NYMEX) => Self::Futures(&[Nymex]),
            _ if is_in(WHOLE_CME) => Self::Futures(&[Cme, Cbot, Comex, Nymex]),
            _ if is_in(OTHER_FUTURES) => Self::Futures(&[]),
            _ if is_in(SHARES) => Self::Shares(&[]),
            _ => Self::Unknown,
        }
    }

    /// Whether the exchange lists the instrument under the normalized `name`, which was parsed in this form.
    pub(super) fn lists(self, instrument: &Instrument, name: &str, form: SpellingForm) -> bool {
        use InstrumentClass::{Crypto, Forex, Future, Index, Metal, Stock};
        let class = instrument.class;
        match self {
            Self::Broker => class != Future,
            Self::Spot => matches!(class, Forex | Metal),
            Self::Crypto => matches!(class, Crypto | Forex),
            Self::Futures(groups) => {
                class == Future && group_of(instrument).is_none_or(|group| groups.contains(&group))
            }
            Self::Shares(indices) => {
                form == SpellingForm::Name && (class == Stock || class == Index && indices.contains(&name))
            }
            Self::Unknown => match form {
                SpellingForm::Contract => true,
                SpellingForm::Affixed => false,
                SpellingForm::Name => no_share_is_called(instrument, name),
            },
        }
    }
}

/// Returns the group that lists a future; `None` when it is not in the table.
pub(super) fn group_of(instrument: &Instrument) -> Option<ExchangeGroup> {
    ROOTS.iter().find(|(root, _)| *root == instrument.symbol.as_str()).map(|(_, group)| *group)
}

fn no_share_is_called(instrument: &Instrument, name: &str) -> bool {
    let has = |of_kind: fn(&u8) -> bool| name.as_bytes().iter().any(of_kind);
    let is_pair = instrument.class != InstrumentClass::Stock && name.len() == 6 && name == instrument.symbol.as_str();
    is_pair || has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}
