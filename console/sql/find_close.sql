select close_micros
from read_parquet($files)
where symbol = $symbol
