select max(seq) as newest
from events
