-- Adds a subscription, or removes it where nothing is granted.
-- ARGV: replica, client, epoch, filter, granted or nothing
-- Reply: whether it was there, the version of the change, whether the other replicas have applied it
local me, client, epoch, filter, granted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not is_held(me, client, epoch) then return { FENCED } end
local key = P .. 'sub:' .. client
if granted == '' then
  local existed = session_call('HDEL', key, filter)
  if redis.call('EXISTS', key) == 0 then redis.call('SREM', P .. 'ids', client) end
  return { existed, record_change('t', 'u', 'c', client, 'f', filter, 'o', me), 1 }
end
local existed = session_call('HEXISTS', key, filter)
redis.call('HSET', key, filter, granted)
redis.call('SADD', P .. 'ids', client)
local lasting = redis.call('HGET', P .. 's:' .. client, 'lasting')
local version = record_change('t', 's', 'c', client, 'f', filter, 'g', granted, 'w', me, 'l', lasting, 'o', me)
return { existed, version, is_settled(me, version) }
