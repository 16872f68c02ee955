-- A replica has read its inbox up to an entry: that goes, and its bytes count no longer.
-- ARGV: replica, the first entry that was not read, bytes
local inbox, count = P .. 'in:' .. ARGV[1], P .. 'inb:' .. ARGV[1]
if redis.call('XTRIM', inbox, 'MINID', ARGV[2]) == 0 then return end
if redis.call('XLEN', inbox) == 0 or redis.call('DECRBY', count, ARGV[3]) < 0 then redis.call('DEL', count) end
