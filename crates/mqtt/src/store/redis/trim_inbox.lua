-- Removes the entries of an inbox that its replica has read, and their bytes.
-- ARGV: replica, the first entry that is not read, bytes
local inbox, count = P .. 'in:' .. ARGV[1], P .. 'inb:' .. ARGV[1]
if redis.call('XTRIM', inbox, 'MINID', ARGV[2]) == 0 then return end
if redis.call('XLEN', inbox) == 0 or redis.call('DECRBY', count, ARGV[3]) < 0 then redis.call('DEL', count) end
