-- Messages in the queue of a session after a number. While there are more than were asked for, the holder knows that it is
-- behind and is not woken.
-- ARGV: replica, client, epoch, after, count
local me, client, epoch, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
if not is_held(me, client, epoch) then return {} end
local from = '(' .. ARGV[4] .. '-18446744073709551615'
local found = session_call('XRANGE', P .. 'q:' .. client, from, '+', 'COUNT', count)
local woken, length = #found < count and 0 or 1, redis.call('XLEN', P .. 'q:' .. client)
redis.call('HSET', P .. 's:' .. client, 'woken', woken, 'length', length)
for _, entry in ipairs(found) do
  local message = entry[2][1] == 'b' and entry_message(entry)
  if message then entry[2][1], entry[2][2] = 'm', message end
end
return found
