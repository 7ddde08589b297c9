select
    session,
    symbol,
    side,
    outcome,
    reason,
    quantity,
    unadvised_quantity,
    price_micros,
    intent_id,
    intent_key,
    payload_hash,
    account,
    lane,
    epoch_us(not_after) as not_after,
    verdicts_sha,
    limits_sha,
    inputs_sha
from read_parquet($files)
