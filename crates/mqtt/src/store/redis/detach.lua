-- A connection has ended.
-- ARGV: replica, client, epoch, sent, the session ends (-1 now), the will's delay counts from (-1: no will)
local me, client, epoch, sent = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not is_held(me, client, epoch) then return { FENCED } end
local key = P .. 's:' .. client
if sent > tonumber(redis.call('HGET', key, 'sent') or '0') then redis.call('HSET', key, 'sent', sent) end
detach(client, epoch, me, tonumber(ARGV[5]), tonumber(ARGV[6]), me)
return { DONE }
