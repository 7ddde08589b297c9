-- An error type is told where there is no advice; tables from before models were asked have no such column.
select columns('^(verdict|factor_bps|ladder|applied|source|rationale|error_type)$')
from read_parquet($files)
where intent_key = $intent_key
