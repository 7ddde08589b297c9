select
    session,
    symbol,
    high_micros,
    low_micros
from read_parquet($files)
