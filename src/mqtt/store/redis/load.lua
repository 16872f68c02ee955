-- The queue of a session after a number.
-- ARGV: replica, client, epoch, after, count
local me, client, epoch = ARGV[1], ARGV[2], ARGV[3]
if not held(me, client, epoch) then return {} end
redis.call('HDEL', P .. 's:' .. client, 'woken')
return redis.call('XRANGE', P .. 'q:' .. client, '(' .. ARGV[4] .. '-18446744073709551615', '+', 'COUNT', ARGV[5])
