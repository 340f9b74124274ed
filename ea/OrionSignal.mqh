//+------------------------------------------------------------------+
//| OrionSignal.mqh: leaves a signal for OrionBridge to send.        |
//| MetaTrader 5 and 4; from Expert Advisors, scripts, indicators.   |
//+------------------------------------------------------------------+

//--- One signal of a closed bar; true when it is on the disk. direction: +1 long, -1 short. targets[] from near to far, and the
//--- share of the position that ends at each, in percent, in shares[]. confidence: 0 to 1. Called again with the same symbol,
//--- setup, time frame, direction and bar it is the same signal, also for the server.
bool OrionSignal(const string symbol,const int direction,const string setup,const string tf,const double entry,
                 const double stop,const double &targets[],const double &shares[],const double confidence,const datetime bar)
  {
   int count=ArraySize(targets);
   if(direction==0 || count!=ArraySize(shares) || count>10) return(false);
   int digits=(int)SymbolInfoInteger(symbol,SYMBOL_DIGITS);
   string list="";
   for(int i=0;i<count;i++)
      list+=(i>0 ? "," : "")+"{\"price\":"+DoubleToString(targets[i],digits)+",\"pct\":"+DoubleToString(shares[i],0)+"}";
   string id=OrionAscii(symbol+"-"+setup+"-"+tf)+StringFormat("-%d-%I64d",(direction>0 ? 1 : -1),(long)bar);
#ifdef __MQL5__
   string src="mt5";
#else
   string src="mt4";
#endif
   string json="{\"v\":1,\"type\":\"signal\",\"src\":\""+src+"\",\"id\":\""+id+"\",\"symbol\":\""+OrionAscii(symbol)+
               "\",\"setup\":\""+OrionAscii(setup)+"\",\"tf\":\""+OrionAscii(tf)+"\",\"direction\":\""+
               (direction>0 ? "long" : "short")+"\",\"entry\":"+DoubleToString(entry,digits)+
               ",\"stop_loss\":"+DoubleToString(stop,digits)+",\"take_profits\":["+list+
               "],\"confidence\":"+DoubleToString(confidence,2)+"}";
   string name="orion-signals\\"+OrionFile(id);
   int file=FileOpen(name+".tmp",FILE_WRITE|FILE_TXT|FILE_ANSI|FILE_COMMON);
   if(file==INVALID_HANDLE) return(false);
   FileWriteString(file,json);
   FileClose(file);
   return(FileMove(name+".tmp",FILE_COMMON,name+".json",FILE_COMMON|FILE_REWRITE));   // whole, or not there
  }

//--- what needs no escaping in JSON
string OrionAscii(const string text)
  {
   string out=text;
   for(int i=0;i<StringLen(out);i++)
     {
      ushort c=StringGetCharacter(out,i);
      if(c<32 || c>126 || c=='"' || c=='\\') StringSetCharacter(out,i,'_');
     }
   return(out);
  }

//--- what may stand in the name of a file
string OrionFile(const string text)
  {
   string out=text;
   for(int i=0;i<StringLen(out);i++)
     {
      ushort c=StringGetCharacter(out,i);
      if(!((c>='0' && c<='9') || (c>='A' && c<='Z') || (c>='a' && c<='z') || c=='-')) StringSetCharacter(out,i,'_');
     }
   return(out);
  }
